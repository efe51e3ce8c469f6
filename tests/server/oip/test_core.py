import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from server.oip.core import top_classes


def test_the_best_classes_are_written_as_triton_writes_them():
    values = np.array([[0.2, 0.7, 0.1], [0.5, 0.0, 0.5]], np.float32)
    labels = ("a", "b: c", "d")
    assert top_classes(values, labels, 2) == ["0.700000:1:b: c", "0.200000:0:a", "0.500000:0:a", "0.500000:2:d"]


@given(
    values=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(0, 1, width=32)),
    k=st.integers(1, 10),
)
def test_the_best_classes_are_the_largest_in_order(values, k):
    rows, classes = values.shape
    found = top_classes(values, [f"label {i}" for i in range(classes)], k)
    assert len(found) == rows * min(k, classes)
    for row in range(rows):
        picked = [int(text.split(":")[1]) for text in found[row * min(k, classes) : (row + 1) * min(k, classes)]]
        assert len(set(picked)) == len(picked)
        assert [values[row, i] for i in picked] == sorted(values[row], reverse=True)[: len(picked)]

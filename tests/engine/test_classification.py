"""Logits to answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from engine.classification import classify

LOGITS = lists(floats(-1e4, 1e4, width=32), min_size=2, max_size=20)


@given(LOGITS)
def test_probabilities_sum_to_one_and_the_score_is_the_largest(logits: list[float]) -> None:
    labels = [f"label {i}" for i in range(len(logits))]
    answer = classify(np.array(logits, np.float32), labels)
    assert abs(float(answer.probabilities.sum()) - 1) < 1e-5
    assert answer.score == answer.probabilities.max()
    assert logits[labels.index(answer.label)] == pytest.approx(max(logits), abs=1e-6), "or one that float32 cannot tell"


def test_columns_beyond_the_labels_do_not_count() -> None:
    answer = classify(np.array([0.0, 1.0, 99.0], np.float32), ["no", "yes"])
    assert answer.label == "yes"
    assert len(answer.probabilities) == 2

"""Logits to answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from engine.classification import answer_of, softmax, softmax_rows

LOGITS = lists(floats(-1e4, 1e4, width=32), min_size=2, max_size=20)


@given(LOGITS)
def test_probabilities_sum_to_one_and_the_score_is_the_largest(logits: list[float]) -> None:
    labels = [f"label {i}" for i in range(len(logits))]
    answer = answer_of(softmax(np.array(logits, np.float32)), labels)
    assert abs(float(answer.probabilities.sum()) - 1) < 1e-5
    assert answer.score == answer.probabilities.max()
    assert logits[labels.index(answer.label)] == pytest.approx(max(logits), abs=1e-6), "or one that float32 cannot tell"


@given(lists(LOGITS, min_size=1, max_size=8))
def test_rows_of_different_numbers_of_labels_are_each_what_they_are_alone(rows: list[list[float]]) -> None:
    logits = np.full((len(rows), 24), 99.0, np.float32)
    for i, row in enumerate(rows):
        logits[i, : len(row)] = row
    together = softmax_rows(logits, [len(row) for row in rows])
    for i, row in enumerate(rows):
        np.testing.assert_allclose(together[i, : len(row)], softmax(np.array(row, np.float32)), atol=1e-7)
        assert not together[i, len(row) :].any()


def test_a_row_that_overflowed_is_not_a_number_from_its_first_class_on() -> None:
    logits = np.array([[0.0, 1.0], [np.inf, 1.0], [np.nan, 1.0], [1.0, np.nan]], np.float32)
    assert np.isfinite(softmax_rows(logits, [2] * 4)[:, 0]).tolist() == [True, False, False, False]

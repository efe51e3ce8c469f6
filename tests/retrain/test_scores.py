import json
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from retrain.scores import score_labels, wilson_interval
from store.errors import BadInput

labels = st.sampled_from(["a", "b", "c", "d"])


@settings(max_examples=60)
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=60))
def test_figures_agree_with_scikit_learn(pairs):
    truth, predicted = (list(column) for column in zip(*pairs, strict=True))
    scores = score_labels(truth, predicted)
    names = sorted({*truth, *predicted})
    precision, recall, f1, rows = precision_recall_fscore_support(truth, predicted, labels=names, zero_division=0)
    assert scores.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert scores.macro_f1 == pytest.approx(np.mean(f1))
    for n, name in enumerate(names):
        found = scores.classes[name]
        assert (found.precision, found.recall, found.f1, found.rows) == pytest.approx(
            (precision[n], recall[n], f1[n], rows[n])
        )
    for true, answers in scores.confusion.items():
        assert answers == {p: pairs.count((true, p)) for p in names if (true, p) in pairs}
    assert json.loads(json.dumps(scores.as_dict(), allow_nan=False))["rows"] == len(pairs)


def test_an_example_that_can_be_checked_by_hand():
    scores = score_labels(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    assert scores.accuracy == 0.75
    assert (scores.majority_label, scores.majority_accuracy) == ("a", 0.75)
    assert scores.confusion == {"a": {"a": 2, "b": 1}, "b": {"b": 1}}
    assert scores.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert scores.as_dict()["classes"]["b"] == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "rows": 1})


def test_the_majority_class_of_the_training_rows_can_be_the_baseline():
    scores = score_labels(["a", "a", "b"], ["a", "a", "b"], majority="b")
    assert (scores.majority_label, scores.majority_accuracy) == ("b", pytest.approx(1 / 3))
    assert score_labels(["a"], ["a"], majority="never seen").majority_accuracy == 0


def test_nothing_to_score_is_refused():
    with pytest.raises(BadInput, match="no rows to score"):
        score_labels([], [])
    with pytest.raises(BadInput, match="2 true labels but 1 predicted"):
        score_labels(["a", "b"], ["a"])


@given(st.integers(1, 500), st.floats(0, 1))
def test_the_interval_is_wilsons(trials, share):
    successes = round(share * trials)
    low, high = wilson_interval(successes, trials)
    known = binomtest(successes, trials).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((known.low, known.high), abs=1e-9)
    assert 0 <= low <= successes / trials <= high <= 1


def test_the_interval_covers_the_true_accuracy_in_about_95_percent_of_draws():
    runs, rng = 4_000, np.random.default_rng(0)
    covered = 0
    for right in rng.binomial(150, 0.9, size=runs):
        low, high = wilson_interval(int(right), 150)
        covered += low <= 0.9 <= high
    assert covered >= runs * 0.95 - 3 * sqrt(runs * 0.05 * 0.95), f"{covered} of {runs}"


def test_an_interval_of_nothing_is_a_mistake():
    with pytest.raises(ValueError, match="0 successes of 0"):
        wilson_interval(0, 0)

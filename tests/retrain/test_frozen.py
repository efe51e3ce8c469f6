import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from retrain.frozen import FOLDS, assign_folds, frozen_accuracy
from store.errors import BadInput

some_labels = st.lists(st.sampled_from("abcdef"), min_size=FOLDS, max_size=120)


def clouds(rows: int, *, apart: float, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Rows around a centre for each class, `apart` standard deviations from each other."""
    rng = np.random.default_rng(seed)
    which = rng.integers(classes, size=rows)
    features = rng.standard_normal((rows, 16)) + apart * np.eye(classes, 16)[which]
    return features.astype(np.float32), [f"class {i}" for i in which]


@given(some_labels, st.integers(0, 5))
def test_folds_differ_by_one_row_at_most_in_each_class_and_in_all(labels: list[str], seed: int) -> None:
    fold = assign_folds(labels, seed=seed)
    for members in [np.ones(len(labels), bool), *(np.array(labels) == label for label in set(labels))]:
        sizes = np.bincount(fold[members], minlength=FOLDS)
        assert sizes.max() - sizes.min() <= 1
    assert (fold == assign_folds(labels, seed=seed)).all()


def test_classes_that_lie_apart_are_told_and_noise_is_not() -> None:
    features, labels = clouds(300, apart=8)
    assert frozen_accuracy(features, labels, seed=0).accuracy == 1.0
    rng = np.random.default_rng(1)
    score = frozen_accuracy(features, list(rng.permutation(labels)), seed=0)
    low, high = score.interval
    assert low < 1 / 3 < high, "three classes by luck; of 95 % intervals this seed's holds it"


def test_no_row_is_answered_by_a_classifier_that_saw_it() -> None:
    rng = np.random.default_rng(2)
    features = rng.standard_normal((100, 200)).astype(np.float32)  # enough to know 100 rows by heart
    labels = list(rng.permutation(["a", "b"] * 50))
    assert 0.3 < frozen_accuracy(features, labels, seed=0).accuracy < 0.7  # 4 standard errors to either side


def test_it_agrees_with_scikit_learns_own_cross_validation() -> None:
    features, labels = clouds(400, apart=2)
    fold = assign_folds(labels, seed=3)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(FOLDS)]
    model = LogisticRegression(C=10.0 / 16, max_iter=300)  # 16: here the features are not scaled to rows of length 1
    theirs = cross_val_predict(model, (features - features.mean(0)) / features.std(0), labels, cv=splits)
    ours = frozen_accuracy(features, labels, seed=3).right
    assert np.mean(ours == (theirs == np.array(labels))) > 0.98  # scaled by all rows there, by those of the folds here


def test_small_classes_and_constant_features_are_no_trouble() -> None:
    features, labels = clouds(60, apart=8)
    features[:, 5] = 3.0
    labels[0], labels[1] = "alone", "alone too"
    score = frozen_accuracy(features, labels, seed=0)
    assert not score.right[:2].any()
    assert score.right[2:].mean() > 0.9


@pytest.mark.parametrize("labels", [["a"] * 20, ["a", "b"]])
def test_what_tells_nothing_is_refused(labels: list[str]) -> None:
    with pytest.raises(BadInput, match="tell nothing about a base"):
        frozen_accuracy(np.zeros((len(labels), 4), np.float32), labels, seed=0)


def test_features_and_labels_pair_up() -> None:
    with pytest.raises(ValueError, match="3 rows of features, 2 labels"):
        frozen_accuracy(np.zeros((3, 4), np.float32), ["a", "b"], seed=0)


@settings(deadline=None)  # five classifiers each
@given(some_labels.filter(lambda labels: len(set(labels)) > 1), st.integers(0, 3))
def test_any_labels_get_an_answer_each(labels: list[str], seed: int) -> None:
    features = np.random.default_rng(seed).standard_normal((len(labels), 4)).astype(np.float32)
    score = frozen_accuracy(features, labels, seed=seed)
    assert score.rows == len(labels)
    assert score.interval[0] <= score.accuracy <= score.interval[1]

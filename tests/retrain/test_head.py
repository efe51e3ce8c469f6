"""A head on frozen features: the optimum, whatever the scale of the features."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from retrain.head import fit_head


def clouds(classes: int, rows: int, *, seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """`rows` points around `classes` centres in 12 dimensions, and whose they are."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, 12)) * 2
    true = generator.integers(0, classes, rows)
    return (centres[true] + generator.normal(size=(rows, 12)) * spread).astype(np.float32), true.astype(np.int64)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_head_is_that_of_scikit_learn_at_the_same_strength(classes: int) -> None:
    features, true = clouds(classes, 300, seed=1, spread=2.0)
    head = fit_head(features, true, features, true, classes=classes, strengths=(1.0,))
    scale = np.sqrt(np.mean(np.var(features, axis=0)))
    theirs = LogisticRegression(C=1.0, max_iter=500, tol=1e-8).fit(features / scale, true)
    assert head.validation_loss == pytest.approx(log_loss(true, theirs.predict_proba(features / scale)), rel=0.01)
    agreed = np.mean(head.logits(features).argmax(axis=1) == theirs.predict(features / scale))
    assert agreed > 0.98


def test_the_strength_is_the_one_that_validates_best() -> None:
    features, true = clouds(4, 24, seed=2, spread=4.0)
    other, other_true = clouds(4, 400, seed=3, spread=4.0)
    tried: list[float] = []
    head = fit_head(
        features, true, other, other_true, classes=4, on_fit=lambda share, loss, accuracy: tried.append(loss)
    )
    assert head.validation_loss == min(tried)
    assert len(set(tried)) == 3


def test_a_class_without_training_rows_is_never_answered() -> None:
    features, true = clouds(3, 120, seed=4)
    head = fit_head(features, true, features, true, classes=5)
    assert head.weight.shape == (5, 12)
    assert set(head.logits(features).argmax(axis=1)) <= {0, 1, 2}


def test_rows_count_by_their_weight() -> None:
    features, true = clouds(2, 200, seed=5, spread=3.0)
    light = np.where(true == 0, 0.01, 1.0)
    plain = fit_head(features, true, features, true, classes=2, strengths=(10.0,))
    weighted = fit_head(features, true, features, true, classes=2, strengths=(10.0,), row_weights=light)
    answered = [float(np.mean(head.logits(features).argmax(axis=1) == 0)) for head in (plain, weighted)]
    assert answered[1] < answered[0] - 0.1


def test_the_scale_of_the_features_changes_nothing() -> None:
    features, true = clouds(3, 200, seed=6)
    answers = [
        fit_head(features * scale, true, features * scale, true, classes=3).logits(features * scale)
        for scale in (np.float32(1.0), np.float32(1000.0))
    ]
    assert_allclose(answers[0], answers[1], atol=0.05)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from engine.classification import softmax
from retrain.reliability import apply_temperature, measure_reliability
from retrain.roc_auc import macro_roc_auc


def drawn(rows: int, classes: int = 4, *, seed: int = 0, sureness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels drawn by them; at another sureness than 1 the probabilities are not what they say."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (rows, classes)).astype(np.float32)
    truth = np.array([generator.choice(classes, p=p / p.sum()) for p in softmax(logits).astype(np.float64)])
    return softmax(logits * np.float32(sureness)), truth


def test_bins_hold_equally_many_rows_and_the_error_is_their_mean_distance() -> None:
    confident = np.concatenate([np.full(20, 0.6), np.full(20, 0.9)])
    probabilities = np.stack([confident, 1 - confident], axis=1).astype(np.float32)
    truth = np.array([0] * 10 + [1] * 10 + [0] * 18 + [1] * 2)
    found = measure_reliability(probabilities, truth)
    assert [(one.rows, round(one.confidence, 3), one.accuracy) for one in found.bins] == [
        (20, 0.6, 0.5),
        (20, 0.9, 0.9),
    ]
    assert found.error == pytest.approx(0.05)


def test_a_calibrated_model_is_told_from_one_that_is_too_sure() -> None:
    honest = measure_reliability(*drawn(1_000))
    boastful = measure_reliability(*drawn(1_000, sureness=3.0))
    assert honest.error <= honest.error_unlikely
    assert boastful.error > 2 * boastful.error_unlikely
    assert honest.error_by_chance > 0.01, "even a perfect model shows an error on so few rows"


@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 50))
def test_whatever_the_rows_every_one_is_in_a_bin(rows, classes, seed) -> None:
    probabilities, truth = drawn(rows, classes, seed=seed)
    found = measure_reliability(probabilities, truth)
    assert sum(one.rows for one in found.bins) == rows
    assert 0 <= found.error <= 1
    assert 0 <= found.brier <= 2


def test_the_brier_score_is_that_of_scikit_learn() -> None:
    probabilities, truth = drawn(300)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)  # scikit-learn is strict about sums
    expected = brier_score_loss(truth, exact, labels=range(4), scale_by_half=False)
    assert measure_reliability(probabilities, truth).brier == pytest.approx(expected, abs=1e-6)


def test_a_label_without_a_column_is_always_wrong() -> None:
    probabilities = np.array([[0.9, 0.1]] * 40, np.float32)
    found = measure_reliability(probabilities, np.full(40, -1))
    assert found.bins[0].accuracy == 0
    assert found.brier == pytest.approx(0.81 + 0.01 + 1)


def test_a_temperature_keeps_the_answers_and_undoes_itself() -> None:
    probabilities, _ = drawn(50)
    cooled = apply_temperature(probabilities, 2.0)
    assert (cooled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert np.allclose(apply_temperature(cooled, 0.5), probabilities, atol=1e-5)
    assert cooled.max(axis=1).mean() < probabilities.max(axis=1).mean()


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_area_under_the_curve_is_that_of_scikit_learn(classes) -> None:
    probabilities, truth = drawn(400, classes, seed=classes)
    probabilities = probabilities.round(2)  # ties
    areas = [roc_auc_score(truth == c, probabilities[:, c]) for c in range(classes)]
    assert macro_roc_auc(probabilities, truth) == pytest.approx(np.mean(areas))


def test_a_class_without_rows_has_no_area() -> None:
    probabilities, truth = drawn(200, 3)
    with_fourth = np.concatenate([probabilities, np.zeros((200, 1), np.float32)], axis=1)
    assert macro_roc_auc(with_fourth, truth) == pytest.approx(macro_roc_auc(probabilities, truth))
    assert macro_roc_auc(probabilities, np.zeros(200, np.int64)) is None

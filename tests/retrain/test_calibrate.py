"""Temperature scaling finds the temperature that probabilities were spoilt with."""

import numpy as np
import pytest

from engine.classification import softmax
from retrain.calibrate import fit_temperature


def spoilt(temperature: float, rows: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too sure by `temperature`, and labels drawn from the honest ones. Seed 5."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(rows, 5)) * 2
    honest = softmax(logits).astype(np.float64)
    honest /= honest.sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(5, p=p) for p in honest], np.int64)
    return softmax(logits * temperature), truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found_within_a_tenth(temperature: float) -> None:
    """Its standard error at 4,000 rows is about 2 %, so a tenth is five of them."""
    probabilities, truth = spoilt(temperature)
    assert fit_temperature(probabilities, truth) == pytest.approx(temperature, rel=0.1)


def test_labels_that_the_version_does_not_know_are_left_out() -> None:
    probabilities, truth = spoilt(2.0)
    unknown = np.where(np.arange(len(truth)) % 2, truth, -1)
    assert fit_temperature(probabilities, unknown) == pytest.approx(2.0, rel=0.15)


def test_too_few_rows_change_nothing() -> None:
    probabilities, truth = spoilt(2.0, rows=19)
    assert fit_temperature(probabilities, truth) == 1.0

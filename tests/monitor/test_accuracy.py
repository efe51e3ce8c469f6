from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.accuracy import audit_accuracy, estimated_accuracy, wilson
from retrain.calibrate import fit_temperature
from store.feedback import AuditVerdict
from tests.monitor.traffic import Source, as_reference, draw


def verdict(right: bool, *, inclusion: float = 0.02) -> AuditVerdict:
    return AuditVerdict(right, inclusion)


def test_the_audit_sample_gives_accuracy_with_its_interval() -> None:
    found = audit_accuracy([verdict(True)] * 90 + [verdict(False)] * 10)
    assert found is not None
    assert found.value == pytest.approx(0.9)
    assert (found.low, found.high) == pytest.approx((0.8256, 0.9448), abs=1e-4)  # Wilson's, as printed in tables
    assert found.rows == 100


def test_rows_drawn_with_different_probabilities_are_weighted_back_to_the_traffic() -> None:
    """Traffic: 90 % easy (98 % right), 10 % hard (60 % right); hard rows are drawn ten times as often."""
    rng = np.random.default_rng(1)
    truth, estimates = 0.9 * 0.98 + 0.1 * 0.60, []
    covered = 0
    for _ in range(200):
        hard = rng.random(10_000) < 0.1
        right = rng.random(10_000) < np.where(hard, 0.60, 0.98)
        inclusion = np.where(hard, 0.2, 0.02)
        drawn = rng.random(10_000) < inclusion
        found = audit_accuracy(
            [AuditVerdict(bool(r), float(p)) for r, p in zip(right[drawn], inclusion[drawn], strict=True)]
        )
        assert found is not None
        estimates.append(found.value)
        covered += found.low <= truth <= found.high
    assert np.mean(estimates) == pytest.approx(truth, abs=3 * np.std(estimates) / sqrt(200))
    assert covered >= 200 * 0.95 - 3 * sqrt(200 * 0.95 * 0.05), f"{covered} of 200 intervals hold the truth"


def test_without_a_verdict_nothing_is_claimed() -> None:
    assert audit_accuracy([]) is None


@given(share=st.floats(0, 1), rows=st.integers(1, 10_000))
def test_an_interval_holds_its_value_and_stays_a_share(share: float, rows: int) -> None:
    found = wilson(share, rows, rows=rows)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("prior", [(0.25, 0.25, 0.25, 0.25), (0.7, 0.1, 0.1, 0.1)])
def test_the_interval_of_a_calibrated_model_holds_what_was_right_in_the_window(prior: tuple[float, ...]) -> None:
    """200 windows, a reference of its own each, and other shares of the labels: 95 % less 3.3 sigma is 90 %."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng([4, seed])
        reference, window = draw(Source(), 400, rng), draw(Source(prior=prior), 200, rng)
        calibrated = as_reference(reference, temperature=fit_temperature(reference.probabilities, reference.truth))
        found = estimated_accuracy(window.probabilities, calibrated)
        assert found is not None
        held += found.low <= np.mean(window.predicted == window.truth) <= found.high
    assert held >= 180


def test_temperature_takes_back_what_an_overconfident_model_claims() -> None:
    rows = draw(Source(), 500, np.random.default_rng(3))
    sharpened = rows.probabilities.astype(np.float64) ** 3
    sharpened /= sharpened.sum(axis=1, keepdims=True)
    plain = estimated_accuracy(rows.probabilities, as_reference(rows))
    claimed = estimated_accuracy(sharpened.astype(np.float32), as_reference(rows))
    calibrated = estimated_accuracy(sharpened.astype(np.float32), as_reference(rows, temperature=3.0))
    assert plain is not None
    assert claimed is not None
    assert calibrated is not None
    assert claimed.value > plain.value + 0.05
    assert calibrated.value == pytest.approx(plain.value, abs=1e-3)


def test_probabilities_that_vanished_in_half_precision_are_no_trouble() -> None:
    reference = as_reference(draw(Source(), 50, np.random.default_rng(1)), temperature=2.0)
    found = estimated_accuracy(np.array([[1.0, 0.0, 0.0]], dtype=np.float32), reference)
    assert found is not None
    assert found.value == pytest.approx(1.0, abs=1e-3)
    assert estimated_accuracy(np.zeros((0, 3), dtype=np.float32), reference) is None

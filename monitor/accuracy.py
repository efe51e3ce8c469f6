"""How often is the model right? Measured where labels allow it, estimated where there are none.

People flag what is wrong, so flagged rows say nothing about how often the model errs: only rows of the audit sample,
drawn at random with a known probability, may measure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.feedback import AuditVerdict
from store.reference import Reference

Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95 % interval, all 0 to 1."""

    value: float
    low: float
    high: float
    rows: int

    def as_dict(self) -> dict[str, float | int]:
        return {"value": self.value, "low": self.low, "high": self.high, "rows": self.rows}

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}, {self.rows} rows)"


def audit_accuracy(verdicts: Sequence[AuditVerdict]) -> Estimate | None:
    """Share of right answers among *all* traffic, from its audit sample; None without one verdict.

    Each row stands for 1 / inclusion rows of the traffic; the share is the ratio of weighted sums (Hajek 1971). The
    interval is Wilson's (1927); with unequal weights on the effective sample size (sum w)^2 / sum w^2 (Kish 1965),
    which with equal weights is the number of rows.
    """
    if not verdicts:
        return None
    weights = np.array([1.0 / verdict.inclusion for verdict in verdicts])
    right = np.array([verdict.right for verdict in verdicts])
    share = float(np.sum(weights * right) / np.sum(weights))
    effective_rows = float(np.sum(weights) ** 2 / np.sum(weights**2))
    return wilson(share, effective_rows, rows=len(verdicts))


def estimated_accuracy(probabilities: NDArray[np.float32], reference: Reference) -> Estimate | None:
    """Accuracy without labels: the mean of the calibrated confidence; None without a row.

    probabilities: [rows, classes] of a window. A calibrated model is right as often as it says (average confidence;
    Guillory et al. 2021, arXiv:2107.03315), also where its inputs shift. It sees what makes the model unsure and stays
    blind where the model errs with confidence, as under concept drift: it may alert, never judge.

    The interval holds the luck of the window's own answers, each right with its confidence, and the error of the
    calibration, as large as it would be by chance on the rows of the reference. What calibration has wrong for the
    inputs of this window is not in it (docs/benchmarks.md has the coverage found).
    """
    if len(probabilities) == 0:
        return None
    confidence = calibrated_confidence(probabilities, reference.temperature)
    variance = float(np.sum(confidence * (1 - confidence))) / len(confidence) ** 2
    if reference.rows:
        right = reference.probabilities.argmax(axis=1) == reference.true_label
        missed = right - calibrated_confidence(reference.probabilities, reference.temperature)
        variance += float(np.var(missed)) / reference.rows
    value, half = float(confidence.mean()), Z_95 * math.sqrt(variance)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), rows=len(confidence))


def calibrated_confidence(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """[rows]: the largest of the probabilities [rows, classes] at `temperature` (Guo et al. 2017, arXiv:1706.04599)."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-8)) / temperature
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray((scaled / scaled.sum(axis=1, keepdims=True)).max(axis=1), np.float64)


def wilson(share: float, effective_rows: float, *, rows: int) -> Estimate:
    """Wilson's score interval for a share seen in `effective_rows` independent rows."""
    z2 = Z_95**2
    centre = (share + z2 / (2 * effective_rows)) / (1 + z2 / effective_rows)
    spread = math.sqrt(share * (1 - share) / effective_rows + z2 / (4 * effective_rows**2))
    half = Z_95 * spread / (1 + z2 / effective_rows)
    low, high = min(share, centre - half), max(share, centre + half)
    return Estimate(value=share, low=max(0.0, low), high=min(1.0, high), rows=rows)

"""What audit labels say beside how often the model is right: of which classes, and whether its confidence still holds.

Inputs may be as ever while the right answers to them change: concept drift. No signal of the inputs sees it, only
labels do, and not every loss is one: where the model grew unsure of strange inputs, its confidence fell with its
accuracy. So what is tested is right answers against the calibrated confidence in the very same rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from engine.sketch import unpack_floats
from monitor.accuracy import Estimate, audit_accuracy, calibrated_confidence
from store.feedback import AuditVerdict
from store.reference import Reference

MIN_ROWS = 50
"""Labelled rows below which nothing is said of the confidence."""
CONCEPT_LINE = 0.1
"""Share of the false-alarm rate at which labels contradict the confidence: the same labels are looked at by several
checks, and none of them waits for another to agree."""
_BINS = 15


@dataclass(frozen=True, slots=True)
class Calibration:
    """The model's word against the labels."""

    confident: float
    """Mean calibrated confidence in the answers to the labelled rows."""
    right: float
    """Share of these that are right; unweighted, as `confident` is."""
    error: float
    """Expected calibration error: how far both are apart, on average over 15 bins of the confidence (Guo et al. 2017,
    arXiv:1706.04599). Of few rows it is never near 0."""
    p_value: float
    """Chance of so few right answers, were the model right as often as it says."""
    rows: int


@dataclass(frozen=True, slots=True)
class LabelFindings:
    """What the newest labelled rows of the audit sample say."""

    calibration: Calibration | None
    """None below MIN_ROWS."""
    recall: Mapping[str, Estimate]
    """By label: of the traffic with this right label, the share that was answered so."""
    wrong_without_label: int
    """Rows of which only that they are wrong was said: they are missing in `recall`, which is too high by that."""

    def as_dict(self) -> dict[str, Any]:
        calibration = self.calibration
        return {
            "calibration": {name: getattr(calibration, name) for name in calibration.__slots__}
            if calibration
            else None,
            "recall": {label: estimate.as_dict() for label, estimate in self.recall.items()},
            "wrong_without_label": self.wrong_without_label,
        }


def what_labels_say(verdicts: Sequence[AuditVerdict], reference: Reference) -> LabelFindings:
    by_label: dict[str, list[AuditVerdict]] = {}
    for verdict in verdicts:
        if verdict.truth is not None:
            by_label.setdefault(verdict.truth, []).append(verdict)
    recall = {label: audit_accuracy(of_label) for label, of_label in sorted(by_label.items())}
    return LabelFindings(
        calibration=_calibration(verdicts, reference) if len(verdicts) >= MIN_ROWS else None,
        recall={label: estimate for label, estimate in recall.items() if estimate is not None},
        wrong_without_label=sum(verdict.truth is None for verdict in verdicts),
    )


def _calibration(verdicts: Sequence[AuditVerdict], reference: Reference) -> Calibration:
    probabilities = unpack_floats(b"".join(verdict.probabilities for verdict in verdicts))
    confidence = calibrated_confidence(probabilities.reshape(len(verdicts), -1), reference.temperature)
    right = np.array([verdict.right for verdict in verdicts], np.float64)
    return Calibration(
        confident=float(confidence.mean()),
        right=float(right.mean()),
        error=_expected_error(confidence, right),
        p_value=overconfident(confidence, right, reference),
        rows=len(verdicts),
    )


def overconfident(confidence: NDArray[np.float64], right: NDArray[np.float64], reference: Reference) -> float:
    """P-value of at most so many right answers, were each right with its confidence.

    confidence: [rows], calibrated; right: [rows], 0 or 1. The number of right answers is then Poisson binomial (its
    distribution by a normal one with a term for its skewness: Volkova 1996, Theory of Probability and its Applications
    40:791). By how much calibration was off on the reference, and the error of that, is integrated over. Simulated with
    50 to 500 labels and references of 300 and 2,000 rows: at a line of 1 % it is crossed in 0.1 to 1.2 %.
    """
    known = calibrated_confidence(reference.probabilities, reference.temperature)
    missed = (reference.probabilities.argmax(axis=1) == reference.true_label) - known
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    offsets = missed.mean() + nodes * missed.std() / math.sqrt(len(missed))
    chances = [_at_most(right.sum(), np.clip(confidence + offset, 0.0, 1.0)) for offset in offsets]
    return float(np.clip(np.dot(weights / weights.sum(), chances), 0.0, 1.0))


def _at_most(count: float, chances: NDArray[np.float64]) -> float:
    """Probability that at most `count` of independent events with these `chances` happen."""
    variance = chances * (1 - chances)
    spread = math.sqrt(variance.sum())
    if spread == 0:
        return float(count >= round(chances.sum()))
    skewness = float((variance * (1 - 2 * chances)).sum()) / spread**3
    score = (count + 0.5 - chances.sum()) / spread
    return float(np.clip(stats.norm.cdf(score) + skewness * (1 - score**2) * stats.norm.pdf(score) / 6, 0.0, 1.0))


def _expected_error(confidence: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    apart = np.bincount(bins, weights=right - confidence, minlength=_BINS)
    return float(np.abs(apart).sum() / len(confidence))

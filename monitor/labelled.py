"""What audit labels say beside how often the model is right: of which classes, and whether its confidence still holds.

Inputs may be as ever while the right answers to them change: concept drift. No signal of the inputs sees it, only
labels do, and not every loss is one: where the model grew unsure of strange inputs, its confidence fell with its
accuracy. So what is tested is right answers against the calibrated confidence in the very same rows.
"""

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
REFERENCE_MIN_ROWS = 100
"""Rows of the reference below which the confidence is not tested: fewer tell neither the temperature nor, where all
of them are right, how many others are wrong."""
_BINS = 15
_SCORES = np.linspace(-6.0, 6.0, 241)
_LEVELS: NDArray[np.float64] = stats.norm.cdf(_SCORES)
"""Levels of the quantiles that stand for a distribution, denser in its tails: a line of 0.001 is decided there."""
_WEIGHTS: NDArray[np.float64] = stats.norm.pdf(_SCORES) / stats.norm.pdf(_SCORES).sum()


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
    p_value: float | None
    """Chance of so few right answers, were the model right as often as it says; None with a reference of fewer than
    REFERENCE_MIN_ROWS."""
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


def overconfident(confidence: NDArray[np.float64], right: NDArray[np.float64], reference: Reference) -> float | None:
    """P-value of at most so many right answers, were the model right as often as its confidence and the reference say.

    confidence: [rows], calibrated; right: [rows], 0 or 1. None with a reference of fewer than REFERENCE_MIN_ROWS.

    Expected is the accuracy on the reference, moved by as much as the mean confidence in these rows differs from the
    one there. The temperature was fitted to the reference itself: where nearly all of it is right, every confidence is
    close to 1 and tells nothing of its own error. So how sure the accuracy is comes from the count of right rows
    alone, as the Jeffreys posterior Beta(right + 1/2, wrong + 1/2) (Brown, Cai and DasGupta 2001, Statistical Science
    16:101), which is integrated over. The number of right answers is taken for binomial: of independent events with
    this mean chance, equal ones have the heaviest lower tail (Hoeffding 1956, Annals of Mathematical Statistics
    27:713). Where the mean confidence is the same, that makes a beta-binomial distribution.

    Decision 0016 has how often it is wrong, simulated with the temperature fitted as in every version.
    """
    if reference.rows < REFERENCE_MIN_ROWS:
        return None
    known = calibrated_confidence(reference.probabilities, reference.temperature)
    were_right = int((reference.probabilities.argmax(axis=1) == reference.true_label).sum())
    accuracy = stats.beta.ppf(_LEVELS, were_right + 0.5, reference.rows - were_right + 0.5)
    expected = np.clip(accuracy + confidence.mean() - known.mean(), 0.0, 1.0)
    chances = stats.binom.cdf(right.sum(), len(right), expected)
    return float(np.clip(np.dot(_WEIGHTS, chances), 0.0, 1.0))


def _expected_error(confidence: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    apart = np.bincount(bins, weights=right - confidence, minlength=_BINS)
    return float(np.abs(apart).sum() / len(confidence))

"""What a person is told of each signal: what changed, how much, since when, and in which inputs it shows. It decides
nothing; whether a signal differs at all is found out in `monitor/joint_test.py`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.signals import OUT_OF_SCOPE, Signal, Signals

TELLING_INPUTS = 10
_SHORTEST = 10
"""A change has a tenth of a window behind it: of a rare feature, the last few rows would often look like one."""


@dataclass(frozen=True, slots=True)
class Change:
    """How the window differs from the reference in one signal."""

    told: str
    """The feature that differs most, in a person's words."""
    size: float
    """How much larger its mean is in the window, in standard deviations of a row; of a sum, how far apart the means
    of all features are."""
    distance: float
    """0 to 1, whatever the size of the samples: total variation of the labels, else the largest difference of the
    cumulative shares (the Kolmogorov-Smirnov distance) of what is drawn."""
    began: int
    """About which row of the window it began with, if that is in order of time; 0 if it was there from its first on."""


def changes(signals: Signals) -> Mapping[str, Change]:
    """By signal."""
    found = {}
    for name, signal in signals.by_name.items():
        told, size = _size(signal, signals.reference_rows)
        found[name] = Change(
            told=told,
            size=size,
            distance=_distance(signal.drawn, signals.reference_rows),
            began=change_point(witness(signal, signals.reference_rows)[signals.reference_rows :]),
        )
    return found


def telling_rows(signals: Signals, drifted: Collection[str], *, count: int = TELLING_INPUTS) -> list[int]:
    """Rows of the window that are most unlike the reference in all `drifted` signals together, most telling first.

    Of those that are unlike it alike, such as all rows of one label, the strangest."""
    if not drifted:
        return []
    before = signals.reference_rows
    unlike = np.sum([witness(signals.by_name[name], before)[before:] for name in drifted], axis=0)
    strangest_first = np.lexsort((-signals.by_name[OUT_OF_SCOPE].drawn[before:], -unlike))
    return [int(row) for row in strangest_first[:count]]


def witness(signal: Signal, reference_rows: int) -> NDArray[np.float64]:
    """[rows]: how much each row speaks for the change, in standard deviations of all rows; 0 is the reference's mean.

    The feature that differs most, counted in the direction in which it differs; where all features count together, the
    direction in which the means lie apart (the witness function of Gretton et al. 2012, JMLR 13:723, section 2.3).
    """
    difference, spread = _difference(signal, reference_rows)
    if signal.combined == "sum":
        values = signal.features @ difference
    else:
        telling = _telling_feature(signal, difference, spread)
        values = signal.features[:, telling] * (np.sign(difference[telling]) or 1.0)
    return np.asarray((values - values[:reference_rows].mean()) / (values.std() or 1.0), np.float64)


def change_point(values: NDArray[np.float64]) -> int:
    """About how many of the `values` [rows], at least one and in order, came before their mean rose from 0.

    The most likely split, if the spread stays and the mean after it is not known (Hinkley 1970, Biometrika 57:1).
    """
    after = np.cumsum(values[::-1])[::-1]
    likelihood = np.square(np.maximum(after, 0)) / np.arange(len(values), 0, -1)
    return int(np.argmax(likelihood[: len(values) - len(values) // _SHORTEST]))


def _size(signal: Signal, reference_rows: int) -> tuple[str, float]:
    difference, spread = _difference(signal, reference_rows)
    if signal.combined == "sum":
        return signal.told[0], float(np.linalg.norm(difference))
    telling = _telling_feature(signal, difference, spread)
    return signal.told[telling], float(difference[telling] / spread[telling])


def _difference(signal: Signal, reference_rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[features] each: window's mean less the reference's; the standard deviation of a row, infinite where it is 0."""
    difference = signal.features[reference_rows:].mean(axis=0) - signal.features[:reference_rows].mean(axis=0)
    spread = signal.features.std(axis=0)
    return difference, np.where(spread > 0, spread, np.inf)


def _telling_feature(signal: Signal, difference: NDArray[np.float64], spread: NDArray[np.float64]) -> int:
    scaled = difference / spread
    return int(np.argmax(scaled if signal.combined == "upward" else np.abs(scaled)))


def _distance(drawn: NDArray[np.float64], reference_rows: int) -> float:
    values, codes = np.unique(drawn, return_inverse=True)
    before, after = (
        np.bincount(part, minlength=len(values)) / len(part)
        for part in (codes[:reference_rows], codes[reference_rows:])
    )
    if np.issubdtype(drawn.dtype, np.integer):
        return float(np.abs(after - before).sum() / 2)
    return float(np.abs(np.cumsum(after - before)).max())

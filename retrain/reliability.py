"""Whether a confidence of 80 % means four right answers in five."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrain.scores import wilson_interval

MOST_BINS = 15
_ROWS_A_BIN = 20
_CHANCE_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Bin:
    rows: int
    confidence: float
    """Mean of its rows."""
    accuracy: float
    low: float
    high: float
    """95 % Wilson interval of the accuracy."""


@dataclass(frozen=True, slots=True)
class Reliability:
    bins: tuple[Bin, ...]
    """The least confident first, with equally many rows each."""
    error: float
    """Expected calibration error: mean distance between confidence and accuracy of a bin, 0 to 1
    (Naeini, Cooper and Hauskrecht 2015, AAAI)."""
    error_by_chance: float
    """What a model whose confidences are exactly right shows on so many rows, on average."""
    error_unlikely: float
    """What it shows more than in one case of twenty."""
    brier: float
    """Mean squared distance to the truth over all classes, 0 to 2 (Brier 1950)."""


def measure_reliability(probabilities: NDArray[np.float32], true_label: NDArray[np.int64]) -> Reliability:
    """probabilities: [rows, classes], at least one row. true_label: [rows], -1 for a class that has no column.

    Bins hold equally many rows, 20 at least, as the error of few rows is mostly noise.
    """
    found = probabilities.astype(np.float64)
    confidence, right = found.max(axis=1), found.argmax(axis=1) == true_label
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, max(1, min(MOST_BINS, len(order) // _ROWS_A_BIN)))
    by_chance = np.random.default_rng(0).random((_CHANCE_DRAWS, len(confidence))) < confidence
    errors = _error(confidence, by_chance, bins)
    return Reliability(
        bins=tuple(_bin(confidence[rows], right[rows]) for rows in bins),
        error=float(_error(confidence, right[None], bins)[0]),
        error_by_chance=float(errors.mean()),
        error_unlikely=float(np.quantile(errors, 0.95)),
        brier=_brier(found, true_label),
    )


def apply_temperature(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """[rows, classes]; the answers stay, the confidences change (see retrain.calibrate)."""
    logits = np.log(np.clip(probabilities.astype(np.float64), 1e-12, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: list[NDArray[np.intp]]
) -> NDArray[np.float64]:
    """right: [cases, rows]. Returns the error of each case."""
    gaps = [len(rows) * np.abs(confidence[rows].mean() - right[:, rows].mean(axis=1)) for rows in bins]
    return np.asarray(np.sum(gaps, axis=0) / len(confidence))


def _bin(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Bin:
    low, high = wilson_interval(int(right.sum()), len(right))
    return Bin(len(right), float(confidence.mean()), float(right.mean()), low, high)


def _brier(probabilities: NDArray[np.float64], true_label: NDArray[np.int64]) -> float:
    known = np.flatnonzero(true_label >= 0)
    squares = (probabilities**2).sum(axis=1) + 1
    squares[known] -= 2 * probabilities[known, true_label[known]]
    return float(squares.mean())

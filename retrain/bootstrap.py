"""Intervals of figures that have no formula: the rows are drawn again and again, with replacement.

Percentile bootstrap (Efron and Tibshirani 1993, chapter 13), corrected for its bias. All that answered the same rows is
measured on the same draws, so differences are paired. It is for the macro F1. For an accuracy, and for the difference
of two, there are better intervals: one that was right in every row is right in every draw, and its bootstrap interval
has no width (docs/decisions/0021-evaluation.md has the figures).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1_000
_CELLS = 4_000_000
"""Draws times rows that are held at once: 32 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Figures of one way of answering in every draw, [draws]; those of two pair up if rows and seed were the same."""

    accuracy: NDArray[np.float64]
    macro_f1: NDArray[np.float64]


def draw_figures(
    truth: Sequence[str], answers: Sequence[Sequence[str]], *, draws: int = DRAWS, seed: int = 0
) -> list[Draws]:
    """One `Draws` for each of `answers`, each as long as `truth` and in its order.

    The macro F1 of a draw runs over the classes that occur in it, true or answered, as that of all rows does.
    """
    rows = len(truth)
    generator = np.random.default_rng(seed)
    blocks: list[list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = [[] for _ in answers]
    coded = [_coded(truth, predicted) for predicted in answers]
    at_once = max(1, _CELLS // rows)
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        weights = generator.multinomial(rows, np.full(rows, 1 / rows), size=count).astype(np.float64)
        for found, (true, predicted, classes) in zip(blocks, coded, strict=True):
            found.append(_figures(weights, true, predicted, classes))
    return [
        Draws(np.concatenate([accuracy for accuracy, _ in found]), np.concatenate([f1 for _, f1 in found]))
        for found in blocks
    ]


def bootstrap_interval(
    value: float, drawn: NDArray[np.float64], *, least: float = 0.0, confidence: float = 0.95
) -> tuple[float, float]:
    """Around `value`, the figure of all rows, which lies between `least` and 1. drawn: [draws], the same of each draw.

    The quantiles of the draws, moved so that their mean is `value`: a draw leaves out a third of the rows, which takes
    a macro F1 over small classes down by more than its interval is wide.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail)) + (value - drawn.mean())
    return max(least, min(value, float(low))), min(1.0, max(value, float(high)))


def _coded(truth: Sequence[str], predicted: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    index = {label: i for i, label in enumerate(sorted({*truth, *predicted}))}
    true = np.array([index[label] for label in truth], np.int64)
    return true, np.array([index[label] for label in predicted], np.int64), len(index)


def _figures(
    weights: NDArray[np.float64], true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy and macro F1 of each draw. weights: [draws, rows], how often each row was drawn."""
    right = true == predicted
    hits = _per_class(weights[:, right], true[right], classes)
    seen = _per_class(weights, true, classes) + _per_class(weights, predicted, classes)
    f1 = np.divide(2 * hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return hits.sum(axis=1) / len(true), f1.sum(axis=1) / (seen > 0).sum(axis=1)


def _per_class(weights: NDArray[np.float64], classes_of: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Drawn rows of each class, [draws, classes]."""
    found = np.zeros((len(weights), classes))
    order = np.argsort(classes_of, kind="stable")
    present, starts = np.unique(classes_of[order], return_index=True)
    if len(present):
        found[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return found

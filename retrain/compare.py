"""One way of answering against another on the same rows, as it is shown: both ways, and with an interval.

The gate asks one question and has a one-sided test for it (retrain/gate.py); here the same tests are told two-sided.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrain.gate import mcnemar_p_value, paired_lower_bound


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of one minus that of the other, -1 to 1."""

    value: float
    low: float
    high: float
    """95 % score interval (Tango 1998), also sane where the two never differ."""
    won: int
    lost: int
    """Rows that only the one, or only the other, answered rightly."""
    p_value: float
    """Exact McNemar test, two-sided."""


def compare_answers(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> Difference:
    """one, other: [rows], whether each answered the row rightly; at least one row."""
    rows = len(one)
    won, lost = int(np.sum(one & ~other)), int(np.sum(other & ~one))
    return Difference(
        value=(won - lost) / rows,
        low=paired_lower_bound(won, lost, rows, alpha=0.025),
        high=-paired_lower_bound(lost, won, rows, alpha=0.025),
        won=won,
        lost=lost,
        p_value=min(1.0, 2 * mcnemar_p_value(max(won, lost), min(won, lost))),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted, in their order, so that each holds whatever the others are (Holm 1979, Scand. J. Statist. 6:65)."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = highest
    return adjusted

"""The test rows part by part: a version that is better on the whole may be worse where it hurts.

A part with few rows shows nothing, and of many parts one looks bad by chance. So parts below `MIN_ROWS` are left out,
and what is called worse is worse with Holm's correction for all parts that were looked at.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrain.compare import Difference, compare_answers, holm
from retrain.dataset import Row
from retrain.gate import mcnemar_p_value
from retrain.scores import wilson_interval

MIN_ROWS = 20
ALPHA = 0.05
"""Chance that any part at all is called worse while none is."""


@dataclass(frozen=True, slots=True)
class Slice:
    kind: str
    """label, length, origin or age."""
    name: str
    rows: int
    accuracy: float
    low: float
    high: float
    """95 % Wilson interval, of this part alone."""
    difference: Difference | None = None
    """To production; None where there is none."""
    worse_p_value: float | None = None
    """That production is better here: exact one-sided McNemar test, corrected for all parts (Holm)."""

    @property
    def worse(self) -> bool:
        return self.worse_p_value is not None and self.worse_p_value <= ALPHA


@dataclass(frozen=True, slots=True)
class Slices:
    found: tuple[Slice, ...]
    too_small: int
    """Parts with fewer than `MIN_ROWS` rows."""


def slice_rows(
    rows: Sequence[Row], length_tokens: NDArray[np.int64], *, new: Collection[Row]
) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Which rows each part has, by kind and name; a part that is all rows is none.

    length_tokens: [rows]. new: those that came since the production version was trained. Short texts are those up to
    the median length.
    """
    since = frozenset(new)
    median = int(np.median(length_tokens))
    kinds: Mapping[str, list[str]] = {
        "label": [row.label for row in rows],
        "length": [f"up to {median} tokens" if n <= median else f"above {median} tokens" for n in length_tokens],
        "origin": [row.origin for row in rows],
        "age": ["since production was trained" if row in since else "known before" for row in rows],
    }
    return {
        (kind, name): np.array([one == name for one in names], np.bool_)
        for kind, names in kinds.items()
        for name, count in sorted(Counter(names).items())
        if count < len(rows)
    }


def measure_slices(
    parts: Mapping[tuple[str, str], NDArray[np.bool_]],
    correct: NDArray[np.bool_],
    production: NDArray[np.bool_] | None,
) -> Slices:
    """correct, production: [rows], whether the version and the one in production answered rightly."""
    found = [
        _measure(kind, name, correct[part], None if production is None else production[part])
        for (kind, name), part in parts.items()
        if part.sum() >= MIN_ROWS
    ]
    if production is not None:
        p_values = holm([mcnemar_p_value(d.lost, d.won) for one in found if (d := one.difference) is not None])
        found = [replace(one, worse_p_value=p) for one, p in zip(found, p_values, strict=True)]
    return Slices(tuple(found), too_small=len(parts) - len(found))


def _measure(kind: str, name: str, correct: NDArray[np.bool_], production: NDArray[np.bool_] | None) -> Slice:
    right, rows = int(correct.sum()), len(correct)
    low, high = wilson_interval(right, rows)
    difference = None if production is None else compare_answers(correct, production)
    return Slice(kind, name, rows, right / rows, low, high, difference)

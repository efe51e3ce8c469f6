"""Two or three bases on a small subset of a person's own data: which is worth a training? Pure, but for its callers.

All bases answer the same rows in the same folds (retrain.frozen), so the first is compared with each other one pair by
pair: only rows that exactly one of the two answers rightly tell them apart.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from retrain.dataset import Row
from retrain.frozen import FrozenScore
from retrain.gate import mcnemar_p_value
from store.errors import BadInput


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One base on the rows of a trial."""

    base: str
    score: FrozenScore
    tokens_per_s: float
    """In fp32 on one core."""
    p50_s: float
    """Latency of one text of the data's median length, in fp32 on all cores."""
    parameters: int
    licence: str
    state: str


@dataclass(frozen=True, slots=True)
class TrialLine:
    base: str
    accuracy: float
    interval: tuple[float, float]
    """95 % Wilson interval of the accuracy."""
    difference: float | None
    """Accuracy less that of the first base; None for the first."""
    won: int | None
    lost: int | None
    """Rows that only this base, or only the first, answered rightly."""
    p_value: float | None
    """Two-sided exact McNemar test that the two are equally often right."""
    tokens_per_s: float
    p50_s: float
    parameters: int
    licence: str
    state: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "interval": list(self.interval)}


def choose_rows(rows: Sequence[Row], *, most: int, seed: int) -> list[Row]:
    """At most `most` rows with every class in its share, in the order of `rows`; which ones depends on texts and seed.

    Rows without text or label are passed over, and of rows with the same text only the first is taken. Raises BadInput
    when that leaves fewer than two classes.
    """
    first = {row.group: i for i, row in reversed(list(enumerate(rows))) if row.text.strip() and row.label.strip()}
    by_class: dict[str, list[int]] = {}
    for group in sorted(first, key=lambda group: _rank(seed, group)):
        by_class.setdefault(rows[first[group]].label, []).append(first[group])
    if len(by_class) < 2:
        raise BadInput(f"{len(rows)} rows hold {len(by_class)} classes of texts that differ; a trial needs two or more")
    spread = [
        ((place + 0.5) / len(members), label, row)
        for label, members in by_class.items()
        for place, row in enumerate(members)
    ]
    return [rows[i] for i in sorted(row for _, _, row in sorted(spread)[:most])]


def compare_bases(tried: Sequence[Tried]) -> list[TrialLine]:
    """A line for each base in the order they were named, compared with the first."""
    reference = tried[0].score.right
    return [_line(one, None if one is tried[0] else _paired(one.score, reference)) for one in tried]


def _paired(score: FrozenScore, reference: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[int, int]:
    """Rows won and lost against the reference's answers to the same rows."""
    if len(score.right) != len(reference):
        raise ValueError(f"{len(score.right)} answers cannot be paired with {len(reference)}")
    return int(np.sum(score.right & ~reference)), int(np.sum(reference & ~score.right))


def _line(one: Tried, paired: tuple[int, int] | None) -> TrialLine:
    won, lost = paired or (None, None)
    return TrialLine(
        base=one.base,
        accuracy=one.score.accuracy,
        interval=one.score.interval,
        difference=None if paired is None else (paired[0] - paired[1]) / one.score.rows,
        won=won,
        lost=lost,
        p_value=None if paired is None else two_sided_p_value(*paired),
        tokens_per_s=one.tokens_per_s,
        p50_s=one.p50_s,
        parameters=one.parameters,
        licence=one.licence,
        state=one.state,
    )


def two_sided_p_value(won: int, lost: int) -> float:
    """Exact McNemar test without a direction: twice the smaller tail, at most 1."""
    return min(1.0, 2 * mcnemar_p_value(max(won, lost), min(won, lost)))


def _rank(seed: int, text: str) -> bytes:
    """A place in a random order that depends on nothing but the arguments."""
    return hashlib.sha256(f"{seed}:trial:{text}".encode("utf-8", "surrogatepass")).digest()

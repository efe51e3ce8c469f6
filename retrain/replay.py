"""What a retraining sees again of what the model knew before, so that learning the new does not undo the old.

Rehearsal of stored examples is the plainest cure of forgetting and hard to beat (Robins 1995, Connection Science 7:123;
Chaudhry et al. 2019, arXiv:1902.10486).
"""

import hashlib
from collections.abc import Sequence
from math import ceil

from retrain.dataset import Row


def is_new(row: Row, new_after_seq: int | None) -> bool:
    """Whether a row's label came after the production version's snapshot; none is, for a first version."""
    return new_after_seq is not None and row.feedback_seq is not None and row.feedback_seq > new_after_seq


def replay(
    rows: Sequence[Row], *, new_after_seq: int | None, share: float, weight: float, seed: int
) -> tuple[list[Row], list[float]]:
    """The rows to train on, and how much each counts.

    Of the old rows, a `share` (0 to 1) of each class is drawn, and together they count `weight` times what all of
    them would; new rows count 1 each. Nothing is drawn where there is nothing new, or nothing old.
    """
    old = [row for row in rows if not is_new(row, new_after_seq)]
    if len(old) in (0, len(rows)):
        return list(rows), [1.0] * len(rows)
    drawn = _draw(old, share=share, seed=seed)
    counts_for = weight * len(old) / len(drawn) if drawn else 0.0
    kept = set(map(id, drawn))
    taught = [
        (row, 1.0) if is_new(row, new_after_seq) else (row, counts_for)
        for row in rows
        if is_new(row, new_after_seq) or id(row) in kept
    ]
    return [row for row, _ in taught], [counts for _, counts in taught]


def _draw(rows: Sequence[Row], *, share: float, seed: int) -> list[Row]:
    """A share of each class, rounded up, by the hash of text and seed: neither order nor process matters."""
    by_label: dict[str, list[Row]] = {}
    for row in rows:
        by_label.setdefault(row.label, []).append(row)
    drawn: list[Row] = []
    for members in by_label.values():
        ranked = sorted(members, key=lambda row: hashlib.sha256(f"{seed}:{row.group}".encode()).digest())
        drawn += ranked[: ceil(share * len(members))]
    return drawn

"""What became of training data between two states of it: which rows came, went, changed their label or their split."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrain.dataset import Row


@dataclass(frozen=True, slots=True)
class Change:
    """A row before and after."""

    before: Row
    after: Row


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    rows: tuple[int, int]
    """Before and after."""
    added: tuple[Row, ...]
    removed: tuple[Row, ...]
    relabelled: tuple[Change, ...]
    moved: tuple[Change, ...]
    """Between splits; a row without a split on either side is not among them."""
    shares: Mapping[str, tuple[float, float]]
    """Of each label, before and after, 0 to 1; the largest change first."""

    @property
    def labels_added(self) -> list[str]:
        return sorted(label for label, (before, after) in self.shares.items() if after and not before)

    @property
    def labels_gone(self) -> list[str]:
        return sorted(label for label, (before, after) in self.shares.items() if before and not after)

    @property
    def same(self) -> bool:
        return not (self.added or self.removed or self.relabelled or self.moved)

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": list(self.rows),
            "same": self.same,
            "added": [_told(row) for row in self.added],
            "removed": [_told(row) for row in self.removed],
            "relabelled": [
                {"text": c.after.text, "label": [c.before.label, c.after.label], "split": c.after.split}
                for c in self.relabelled
            ],
            "moved": [
                {"text": c.after.text, "label": c.after.label, "split": [c.before.split, c.after.split]}
                for c in self.moved
            ],
            "labels_added": self.labels_added,
            "labels_gone": self.labels_gone,
            "class_shares": {label: list(shares) for label, shares in self.shares.items()},
        }


def diff_rows(before: Sequence[Row], after: Sequence[Row]) -> SnapshotDiff:
    """Rows are the same if they judge the same prediction or, without one, hold the same text (`Row.group`).

    Of several such rows those with label and split in common are paired first, then those with the label, then any.
    """
    old, new = _by_identity(before), _by_identity(after)
    added: list[Row] = []
    removed: list[Row] = []
    changes: list[Change] = []
    for key in sorted(old.keys() | new.keys()):
        left, right = list(old.get(key, ())), list(new.get(key, ()))
        for alike in (_same_label_and_split, _same_label, _any):
            changes += _take_pairs(left, right, alike)
        removed += left
        added += right
    counts = [Counter(row.label for row in rows) for rows in (before, after)]
    totals = [max(1, len(before)), max(1, len(after))]
    shares = {
        label: (counts[0][label] / totals[0], counts[1][label] / totals[1])
        for label in counts[0].keys() | counts[1].keys()
    }
    return SnapshotDiff(
        rows=(len(before), len(after)),
        added=tuple(added),
        removed=tuple(removed),
        relabelled=tuple(change for change in changes if change.before.label != change.after.label),
        moved=tuple(
            change
            for change in changes
            if None not in (change.before.split, change.after.split) and change.before.split != change.after.split
        ),
        shares=dict(sorted(shares.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))),
    )


def _by_identity(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.label, row.split or "", row.text)):
        key = ("text", row.group) if row.prediction_id is None else ("prediction", row.prediction_id)
        found.setdefault(key, []).append(row)
    return found


def _take_pairs(left: list[Row], right: list[Row], alike: Callable[[Row, Row], bool]) -> list[Change]:
    """Pairs that are alike; they are taken out of both lists."""
    pairs = []
    for row in list(left):
        other = next((each for each in right if alike(row, each)), None)
        if other is not None:
            left.remove(row)
            right.remove(other)
            pairs.append(Change(row, other))
    return pairs


def _same_label_and_split(one: Row, other: Row) -> bool:
    return one.label == other.label and one.split == other.split


def _same_label(one: Row, other: Row) -> bool:
    return one.label == other.label


def _any(one: Row, other: Row) -> bool:
    return True


def _told(row: Row) -> dict[str, Any]:
    return {"text": row.text, "label": row.label, "split": row.split, "origin": row.origin}

"""Which rows teach, which tune and which measure: a split without leakage.

Three promises. The same text never lies in two splits, whatever its labels and however it is written (`Row.group`).
A row keeps its split for good, and later copies of its text join it, so that what once measured never teaches.
Only rows that were chosen at random measure (design, section 10): flagged rows go to train, and one whose text
measures already is left out.

A text is placed by its hash with the seed, so neither the order of the rows nor the process matters.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from retrain.dataset import Row
from store.errors import BadInput

SPLITS = ("train", "validation", "test")
SHARES = (0.70, 0.15, 0.15)
_LONE_TEXTS = 2
"""A class with no more texts than this is only taught: measuring with one row says nothing."""


def split_rows(rows: Sequence[Row], *, seed: int, shares: tuple[float, float, float] = SHARES) -> list[Row]:
    """`rows` in their order, each with its split; shares are those of train, validation and test, and sum to 1.

    What is missing from the result are flagged rows whose text lies in validation or test. New texts are stratified
    by label: of each class, validation and test get their share within one row. Raises BadInput for rows whose
    given splits break the promises above.
    """
    _require_shares(shares)
    groups = [row.group for row in rows]
    placed = _given_splits(rows, groups)
    placed |= _draw(rows, groups, placed, seed=seed, shares=shares)
    result = []
    for row, group in zip(rows, groups, strict=True):
        split = placed.get(group, "train")  # a text that was only ever flagged
        if row.origin != "flagged" or split == "train":
            result.append(replace(row, split=split))
    return result


def _given_splits(rows: Sequence[Row], groups: Sequence[str]) -> dict[str, str]:
    """The split of every group that has one already."""
    given: dict[str, str] = {}
    for number, (row, group) in enumerate(zip(rows, groups, strict=True), start=1):
        if row.split is None:
            continue
        if row.split not in SPLITS:
            raise BadInput(f"row {number} has split {row.split!r}; it must be one of {', '.join(SPLITS)}")
        if row.origin == "flagged" and row.split != "train":
            raise BadInput(f"row {number} was flagged and lies in {row.split}; only random rows may measure")
        if given.setdefault(group, row.split) != row.split:
            raise BadInput(
                f"row {number} lies in {row.split}, but the same text lies in {given[group]} too; "
                "take one of them out, training must not see what measures it"
            )
    return given


def _draw(
    rows: Sequence[Row],
    groups: Sequence[str],
    given: Mapping[str, str],
    *,
    seed: int,
    shares: tuple[float, float, float],
) -> dict[str, str]:
    """Place the texts that are new and were drawn at random at least once.

    Each class takes its share of validation and test, rounded; what rounding gave or took is carried to the next
    class, so that many small classes together still get their share.
    """
    votes: dict[str, Counter[str]] = {}
    texts_of: dict[str, set[str]] = {}
    taught: set[str] = set()
    for row, group in zip(rows, groups, strict=True):
        texts_of.setdefault(row.label, set()).add(group)
        if group in given:
            taught |= {row.label} if given[group] == "train" else set()
        elif row.origin != "flagged":
            votes.setdefault(group, Counter())[row.label] += 1

    strata: dict[str, list[str]] = {}
    for group, labels in votes.items():
        strata.setdefault(min(labels, key=lambda label: (-labels[label], label)), []).append(group)

    drawn: dict[str, str] = {}
    carried = {"validation": 0.0, "test": 0.0}
    for label in sorted(strata, key=lambda label: _rank(seed, "label", label)):
        members = sorted(strata[label], key=lambda group: _rank(seed, "text", group))
        if len(texts_of[label]) <= _LONE_TEXTS:
            drawn.update(dict.fromkeys(members, "train"))
            continue
        free = len(members) - (label not in taught)  # a class that measures is taught too
        taken = 0
        for split, share in zip(SPLITS[1:], shares[1:], strict=True):
            due = carried[split] + share * len(members)
            count = max(0, min(math.floor(due + 0.5), free - taken))
            carried[split] = due - count
            drawn.update(dict.fromkeys(members[taken : taken + count], split))
            taken += count
        drawn.update(dict.fromkeys(members[taken:], "train"))
    return drawn


def _rank(seed: int, kind: str, name: str) -> bytes:
    """A place in a random order that depends on nothing but the arguments."""
    return hashlib.sha256(f"{seed}:{kind}:{name}".encode("utf-8", "surrogatepass")).digest()


def _require_shares(shares: tuple[float, float, float]) -> None:
    if min(shares) < 0 or shares[0] <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise BadInput(f"shares {shares} of train, validation and test must be positive and sum to 1")

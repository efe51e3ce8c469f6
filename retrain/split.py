"""Which rows teach, which tune and which measure: a split without leakage.

Three promises. What belongs together (`retrain.units`: copies and near copies of a text, and all that one entity
said) never lies in two splits. A row keeps its split for good, and later rows of its unit join it, so that what once
measured never teaches. Only rows that were chosen at random measure (design, section 10): flagged rows go to train, and
one whose unit measures already is left out.

Rows with a time are split by it, the newest to test: a model is asked about what comes, and is measured so. All others
are drawn: a unit is placed by its hash with the seed, so neither the order of the rows nor the process matters.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from retrain.dataset import Row
from retrain.near_duplicates import NearDuplicates, find_near_duplicates
from retrain.units import find_units, newest_of
from store.errors import BadInput

SPLITS = ("train", "validation", "test")
SHARES = (0.70, 0.15, 0.15)
_LONE_TEXTS = 2
"""A class with no more texts than this is only taught: measuring with one row says nothing."""


@dataclass(frozen=True, slots=True)
class _Unit:
    name: str
    label: str
    """The most frequent one of its rows that were drawn at random."""
    texts: int
    """How many different ones it holds, flagged ones aside."""


def split_rows(
    rows: Sequence[Row],
    *,
    seed: int,
    shares: tuple[float, float, float] = SHARES,
    near: NearDuplicates | None = None,
) -> list[Row]:
    """`rows` in their order, each with its split; shares are those of train, validation and test, and sum to 1.

    What is missing from the result are flagged rows whose unit lies in validation or test. New texts are stratified
    by label: of each class, validation and test get their share within one row, or as near to it as units allow that
    hold several texts. near: of these rows, if they were looked for already. Raises BadInput for rows whose given
    splits break the promises above.
    """
    _require_shares(shares)
    groups = [row.group for row in rows]
    units = find_units(rows, near or find_near_duplicates(groups))
    given = _given_splits(rows, groups)
    placed = _given_units(given, units)
    new = [row for row in rows if units[row.group] not in placed]
    newest = newest_of(new, units)
    free = _free_units(new, units)
    placed |= _by_time([unit for unit in free if unit.name in newest], newest, shares=shares)
    drawn = [unit for unit in free if unit.name not in newest]
    placed |= _draw(drawn, _texts_of_labels(rows, groups), _taught(rows, groups, given), seed=seed, shares=shares)

    result = []
    for row, group in zip(rows, groups, strict=True):
        split = given.get(group) or placed.get(units[group], "train")  # a unit that was only ever flagged
        if row.origin != "flagged" or split == "train":
            result.append(replace(row, split=split))
    return result


def keep_splits(rows: Sequence[Row], before: Iterable[Row]) -> list[Row]:
    """`rows` in their order, each text with the split that it had before; others keep what they have.

    Raises BadInput where rows name another split for a text: no version may be measured on what it was trained on.
    """
    had = {row.group: row.split for row in before}
    moved = [n for n, row in enumerate(rows, start=1) if row.split and had.get(row.group, row.split) != row.split]
    if moved:
        first = rows[moved[0] - 1]
        raise BadInput(
            f"{len(moved)} rows lie in another split than in the snapshot of the version in production, the first: row "
            f"{moved[0]} is in {first.split}, there in {had[first.group]}; no version may be measured on what it was "
            "trained on: keep those splits, or train a model of another name"
        )
    return [replace(row, split=had.get(row.group, row.split)) for row in rows]


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


def _given_units(given: Mapping[str, str], units: Mapping[str, str]) -> dict[str, str]:
    """Where new texts of a unit go that has a split already.

    Units that were torn before anybody looked for near duplicates keep their rows where they are; what is new of them
    teaches, so that nothing more is measured with what training has seen.
    """
    splits: dict[str, set[str]] = {}
    for group, split in given.items():
        splits.setdefault(units[group], set()).add(split)
    return {unit: found.pop() if len(found) == 1 else "train" for unit, found in splits.items()}


def _free_units(rows: Iterable[Row], units: Mapping[str, str]) -> list[_Unit]:
    """Units that were drawn at random at least once, of rows that have no place yet."""
    votes: dict[str, Counter[str]] = {}
    texts: dict[str, set[str]] = {}
    for row in rows:
        if row.origin != "flagged":
            votes.setdefault(units[row.group], Counter())[row.label] += 1
            texts.setdefault(units[row.group], set()).add(row.group)
    return [
        _Unit(name, min(labels, key=lambda label: (-labels[label], label)), len(texts[name]))
        for name, labels in votes.items()
    ]


def _texts_of_labels(rows: Sequence[Row], groups: Sequence[str]) -> dict[str, int]:
    """How many different texts a label has, in any split."""
    pairs = {(row.label, group) for row, group in zip(rows, groups, strict=True)}
    return Counter(label for label, _ in pairs)


def _taught(rows: Sequence[Row], groups: Sequence[str], given: Mapping[str, str]) -> set[str]:
    """Labels that some row teaches already."""
    return {row.label for row, group in zip(rows, groups, strict=True) if given.get(group) == "train"}


def _by_time(
    units: Sequence[_Unit], newest: Mapping[str, str], *, shares: tuple[float, float, float]
) -> dict[str, str]:
    """The newest units to test, those before to validation, the others to train.

    A unit counts as old as its newest row, so that nothing in train is younger than what measures it, and units of the
    same time stay together; where a border would part them it moves to the nearer side.
    """
    moments: dict[str, list[_Unit]] = {}
    for unit in units:
        moments.setdefault(newest[unit.name], []).append(unit)
    ordered = [moments[at] for at in sorted(moments)]
    ends = [0]  # texts before each moment, and in all
    for moment in ordered:
        ends.append(ends[-1] + sum(unit.texts for unit in moment))
    first = max(_nearest(ends, shares[0] * ends[-1]), 1)  # something must teach
    last = max(_nearest(ends, (shares[0] + shares[1]) * ends[-1]), first)
    placed: dict[str, str] = {}
    for number, moment in enumerate(ordered):
        split = "train" if number < first else "validation" if number < last else "test"
        placed |= {unit.name: split for unit in moment}
    return placed


def _nearest(ends: Sequence[int], wanted: float) -> int:
    return min(range(len(ends)), key=lambda place: (abs(ends[place] - wanted), -place))


def _draw(
    units: Sequence[_Unit],
    texts_of: Mapping[str, int],
    taught: set[str],
    *,
    seed: int,
    shares: tuple[float, float, float],
) -> dict[str, str]:
    """Place units at random.

    Each class takes its share of validation and test, rounded; what rounding gave or took is carried to the next class,
    so that many small classes together still get their share. What no unit of a class was small enough for is not:
    another class would pay for it with the rows that teach it.
    """
    strata: dict[str, list[_Unit]] = {}
    for unit in units:
        strata.setdefault(unit.label, []).append(unit)

    drawn: dict[str, str] = {}
    carried = {"validation": 0.0, "test": 0.0}
    for label in sorted(strata, key=lambda label: _rank(seed, "label", label)):
        members = sorted(strata[label], key=lambda unit: _rank(seed, "text", unit.name))
        drawn |= {unit.name: "train" for unit in members}
        if texts_of[label] <= _LONE_TEXTS:
            continue
        texts = sum(unit.texts for unit in members)
        if label not in taught:
            members.pop()  # a class that measures is taught too
        for split, share in zip(SPLITS[1:], shares[1:], strict=True):
            due = carried[split] + share * texts
            open_texts = max(0, min(math.floor(due + 0.5), math.ceil(share * texts)))
            for unit in members:
                if drawn[unit.name] == "train" and unit.texts <= open_texts:
                    drawn[unit.name] = split
                    open_texts -= unit.texts
                    due -= unit.texts
            carried[split] = min(due, 1.0)
    return drawn


def _rank(seed: int, kind: str, name: str) -> bytes:
    """A place in a random order that depends on nothing but the arguments."""
    return hashlib.sha256(f"{seed}:{kind}:{name}".encode("utf-8", "surrogatepass")).digest()


def _require_shares(shares: tuple[float, float, float]) -> None:
    if min(shares) < 0 or shares[0] <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise BadInput(f"shares {shares} of train, validation and test must be positive and sum to 1")

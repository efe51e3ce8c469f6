"""Leakage by group and by time: what training could learn about the very rows that are to measure it."""

from collections import Counter
from collections.abc import Iterable, Mapping

from retrain.audit.finding import Finding, Severity, make_finding, names_told
from retrain.dataset import Row
from retrain.units import newest_of

_MEASURE = ("validation", "test")
_TOLD_BY_GROUP = 0.95
"""Share of rows whose label the other rows of their entity tell."""
_NOT_BY_CHANCE = 0.80
"""More than this share of one class, and any entity tells it."""
_MIN_ROWS = 20


def leaks(whole: Mapping[int, Row], units: Mapping[str, str], *, own_split: bool) -> Iterable[Finding]:
    """units: of the rows, by text. own_split: the splits are a person's choice, who can change them.

    Splits from an earlier snapshot cannot be changed: with them the same findings are warnings.
    """
    severity: Severity = "error" if own_split else "warning"
    yield from _groups_torn(whole, severity)
    yield from _train_is_younger(whole, units, severity)
    if all(row.split for row in whole.values()):
        yield from untaught_classes(whole, whole.values())


def untaught_classes(whole: Mapping[int, Row], placed: Iterable[Row]) -> Iterable[Finding]:
    """Classes that would be measured without having been taught. placed: rows of `whole` with their splits."""
    labels: dict[str | None, set[str]] = {}
    for row in placed:
        labels.setdefault(row.split, set()).add(row.label)
    taught = labels.get("train", set())
    untaught = sorted(set().union(*(labels.get(split, set()) for split in _MEASURE)) - taught)
    if taught and untaught:
        message = (
            f"{len(untaught)} classes are measured and never taught: {names_told(map(repr, untaught))}; "
            "every such row is answered wrongly: let rows of these classes teach, or leave the classes out"
        )
        numbers = [n for n, row in whole.items() if row.label in set(untaught)]
        yield make_finding("untaught_classes", "warning", message, numbers)


def groups_and_labels(whole: Mapping[int, Row]) -> Iterable[Finding]:
    """Whether one could answer by who wrote it, not by what was written."""
    rows_of: dict[str, list[int]] = {}
    for number, row in whole.items():
        if row.entity is not None:
            rows_of.setdefault(row.entity, []).append(number)
    if not rows_of:
        return
    alone = _labels_of_one_group(whole)
    if alone:
        message = (
            f"{len(alone)} classes have all their rows in one group: {names_told(map(repr, alone))}; "
            "a group lies in one split, so such a class cannot be both taught and measured"
        )
        numbers = [n for n, row in whole.items() if row.label in set(alone)]
        yield make_finding("labels_of_one_group", "warning", message, numbers)

    several = [numbers for numbers in rows_of.values() if len(numbers) > 1]
    told = [n for numbers in several for n in _told_by_others({n: whole[n].label for n in numbers})]
    looked_at = sum(map(len, several))
    counts = Counter(whole[n].label for numbers in several for n in numbers)
    if looked_at < _MIN_ROWS or max(counts.values()) > _NOT_BY_CHANCE * looked_at:
        return
    if len(told) >= _TOLD_BY_GROUP * looked_at:
        message = (
            f"the group tells the label of {len(told) / looked_at:.0%} of {looked_at} rows whose group has several: a "
            "model may learn who wrote a text instead of what it says; look whether the group stands in the texts"
        )
        yield make_finding("labels_follow_groups", "warning", message, sorted(told))


def _groups_torn(whole: Mapping[int, Row], severity: Severity) -> Iterable[Finding]:
    splits_of: dict[str, set[str]] = {}
    for row in whole.values():
        if row.entity is not None and row.split is not None:
            splits_of.setdefault(row.entity, set()).add(row.split)
    torn = {entity for entity, splits in splits_of.items() if len(splits) > 1}
    if torn:
        message = (
            f"{len(torn)} groups lie in more than one split, so that training would know whom it is measured on: "
            f"{names_told(map(repr, sorted(torn)))}; put all rows of a group into one split"
        )
        numbers = [n for n, row in whole.items() if row.entity in torn and row.split is not None]
        yield make_finding("group_leakage", severity, message, numbers)


def _train_is_younger(whole: Mapping[int, Row], units: Mapping[str, str], severity: Severity) -> Iterable[Finding]:
    """A unit counts as old as its newest row, as in `retrain.split`."""
    placed = [row for row in whole.values() if row.split is not None]
    newest = newest_of(placed, units)
    of_test = {units[row.group] for row in placed if row.split == "test"} & newest.keys()
    if not of_test:
        return
    first_test = min(newest[unit] for unit in of_test)
    younger = [
        n
        for n, row in whole.items()
        if row.split == "train" and row.origin != "flagged" and row.at is not None and row.at > first_test
    ]
    if younger:
        message = (
            f"{len(younger)} training rows are younger than the first test row ({first_test}): a model would be "
            "measured on what was past when it learned; test on the newest rows"
        )
        yield make_finding("time_leakage", severity, message, younger)


def _labels_of_one_group(whole: Mapping[int, Row]) -> list[str]:
    entities: dict[str, set[str | None]] = {}
    counts: Counter[str] = Counter()
    for row in whole.values():
        entities.setdefault(row.label, set()).add(row.entity)
        counts[row.label] += 1
    return sorted(
        label for label, found in entities.items() if counts[label] > 1 and len(found) == 1 and None not in found
    )


def _told_by_others(labels: Mapping[int, str]) -> list[int]:
    """Of the rows of one group with their labels, those that the most frequent label of the others gets right."""
    counts = Counter(labels.values())
    told = []
    for number, label in labels.items():
        others = max((count for other, count in counts.items() if other != label), default=0)
        if counts[label] - 1 > others:
            told.append(number)
    return told

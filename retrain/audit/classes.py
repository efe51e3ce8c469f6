"""Labels: missing, alone, rare, unknown, spelled in two ways, or far more of one than of another."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from retrain.audit.finding import Finding, make_finding, names_told, rows_told
from retrain.dataset import Row, group_key
from retrain.imbalance import imbalance_ratio, is_imbalanced

MIN_CLASS_ROWS = 8
_TRAINABLE_ROWS = 2


def missing(rows: Sequence[Row], groups: Sequence[str]) -> Iterable[Finding]:
    unlabelled = [n for n, row in enumerate(rows, start=1) if not row.label.strip()]
    if unlabelled:
        message = f"{rows_told(len(unlabelled))} without a label; give them one or take them out"
        yield make_finding("missing_labels", "error", message, unlabelled)
    textless = [n for n, group in enumerate(groups, start=1) if not group]
    if textless:
        message = f"{rows_told(len(textless))} without a text; they are left out of training"
        yield make_finding("missing_texts", "warning", message, textless)


def class_sizes(
    whole: Mapping[int, Row], labels: Mapping[str, int], *, least: int, known: Sequence[str]
) -> Iterable[Finding]:
    """labels: rows of each, the most frequent first. known: labels that the snapshot before had.

    One row of a class stops a run only in a person's file: feedback may bring the first row of a class on any day.
    """
    if len(labels) < 2:
        only = f"every row has the label {next(iter(labels))!r}" if labels else "no row has both a text and a label"
        message = f"{only}; a classifier needs at least two classes"
        yield make_finding("one_class", "error", message, list(whole))
    if labels:
        names = list(labels)
        most, fewest = names[0], names[-1]
        message = f"{len(labels)} classes, from {labels[most]} rows ({most!r}) to {labels[fewest]} ({fewest!r})"
        yield make_finding("class_counts", "info", message, list(whole))
    seeds = {row.label for row in whole.values() if row.origin == "seed"} - set(known)
    lone = {label for label, count in labels.items() if count < _TRAINABLE_ROWS and label in seeds}
    if lone:
        message = (
            f"{len(lone)} of {len(labels)} classes have fewer than {_TRAINABLE_ROWS} rows: "
            f"{names_told(map(repr, sorted(lone)))}; add examples, or take these rows out"
        )
        yield make_finding("lone_rows", "error", message, [n for n, row in whole.items() if row.label in lone])
    small = {label: count for label, count in labels.items() if count < least and label not in lone}
    if small:
        named = names_told(f"{label!r} ({count})" for label, count in small.items())
        message = f"{len(small)} of {len(labels)} classes have fewer than {least} rows: {named}; add examples of them"
        yield make_finding("few_rows", "warning", message, [n for n, row in whole.items() if row.label in small])
    if is_imbalanced(labels):
        most, fewest = next(iter(labels)), list(labels)[-1]
        message = (
            f"{most!r} has {imbalance_ratio(labels):.0f} times as many rows as {fewest!r}; "
            "add rows of the rare classes, or train with focal loss (--set focal_gamma=2), class weights "
            "(--set class_weights=balanced) or rare rows repeated (--set resample=1)"
        )
        rare = {label for label, count in labels.items() if is_imbalanced({most: labels[most], label: count})}
        yield make_finding("imbalance", "warning", message, [n for n, row in whole.items() if row.label in rare])


def spellings(whole: Mapping[int, Row], labels: Iterable[str]) -> Iterable[Finding]:
    ways: dict[str, list[str]] = {}
    for label in labels:
        ways.setdefault(group_key(label), []).append(label)
    several = [names for names in ways.values() if len(names) > 1]
    if several:
        named = names_told(" / ".join(map(repr, sorted(names))) for names in several)
        message = f"labels that differ only in case or white space count as different classes: {named}; write one way"
        concerned = {name for names in several for name in names}
        numbers = [n for n, row in whole.items() if row.label in concerned]
        yield make_finding("similar_labels", "warning", message, numbers)


def unknown_labels(whole: Mapping[int, Row], labels: Iterable[str], allowed: Sequence[str] | None) -> Iterable[Finding]:
    """allowed: all labels that rows may have; None if anything goes."""
    if allowed is None:
        return
    unknown = [label for label in labels if label not in set(allowed)]
    if unknown:
        told = []
        for label in unknown:
            near = get_close_matches(label, allowed, n=1, cutoff=0.5)
            told.append(f"{label!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
        message = f"{len(unknown)} labels that are not among the {len(allowed)} allowed ones: {names_told(told)}"
        yield make_finding("unknown_labels", "error", message, [n for n, r in whole.items() if r.label in set(unknown)])


def against_previous(
    previous: Sequence[Row] | None,
    whole: Mapping[int, Row],
    labels: Mapping[str, int],
    numbers_of: Mapping[str, list[int]],
) -> Iterable[Finding]:
    if previous is None:
        return
    known = Counter(row.label for row in previous)
    new = [label for label in labels if label not in known]
    if new:
        message = f"{len(new)} classes that the snapshot before did not have: {names_told(map(repr, new))}"
        yield make_finding("new_classes", "info", message, [n for n, row in whole.items() if row.label in new])
    gone = sorted(label for label in known if label not in labels)
    if gone:
        message = f"{len(gone)} classes of the snapshot before are gone: {names_told(map(repr, gone))}"
        yield Finding("vanished_classes", "warning", message, (), sum(known[label] for label in gone))
    seen = {row.group for row in previous}
    added = sorted(n for group, numbers in numbers_of.items() if group not in seen for n in numbers)
    message = f"{len(added)} of {len(whole)} rows have a text that the snapshot before did not have"
    yield make_finding("new_texts", "info", message, added)

"""What is wrong with labelled rows, found before anything is trained on them.

Errors stop a run, warnings are told, infos describe. Everything is a finding with the rows it speaks of, so that
the person who owns the data can mend it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from retrain.dataset import Row, group_key
from store.errors import BadInput

Severity = Literal["error", "warning", "info"]

MIN_CLASS_ROWS = 8
SHOWN_ROWS = 20
_SHOWN_NAMES = 10


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str
    severity: Severity
    message: str
    rows: tuple[int, ...]
    """The first rows it speaks of, at most SHOWN_ROWS; the first row of the data is 1."""
    count: int
    """All rows it speaks of."""


@dataclass(frozen=True, slots=True)
class Audit:
    rows: int
    labels: Mapping[str, int]
    """Rows per class, the most frequent first; rows without text or label are not counted."""
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def usable(self) -> bool:
        return not self.errors

    def require_usable(self) -> None:
        """Raises BadInput that tells every error and where it is."""
        if self.errors:
            raise BadInput("these rows cannot be trained on: " + "; ".join(_told(error) for error in self.errors))

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "usable": self.usable,
            "labels": dict(self.labels),
            "findings": [
                {
                    "kind": finding.kind,
                    "severity": finding.severity,
                    "message": finding.message,
                    "rows": list(finding.rows),
                    "count": finding.count,
                }
                for finding in self.findings
            ],
        }


def audit_rows(
    rows: Sequence[Row], *, previous: Sequence[Row] | None = None, min_class_rows: int = MIN_CLASS_ROWS
) -> Audit:
    """Look through `rows`; `previous`, if given, is the snapshot that they follow on."""
    if not rows:
        nothing = Finding("no_rows", "error", "there are no rows at all", (), 0)
        return Audit(rows=0, labels={}, findings=(nothing,))
    groups = [row.group for row in rows]
    # Rows that lack a text or a label are reported as such, and as nothing else.
    whole = {n: row for n, row in enumerate(rows, start=1) if groups[n - 1] and row.label.strip()}
    numbers_of: dict[str, list[int]] = {}
    for number in whole:
        numbers_of.setdefault(groups[number - 1], []).append(number)
    counts = Counter(row.label for row in whole.values())
    labels = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    findings = [
        *_missing(rows, groups),
        *_classes(whole, labels, min_class_rows),
        *_similar_labels(whole, labels),
        *_repeated(whole, numbers_of),
        *_splits(whole, numbers_of),
        *_against(previous, whole, labels, numbers_of),
    ]
    rank = {"error": 0, "warning": 1, "info": 2}
    return Audit(len(rows), labels, tuple(sorted(findings, key=lambda finding: rank[finding.severity])))


def _missing(rows: Sequence[Row], groups: Sequence[str]) -> Iterable[Finding]:
    unlabelled = [n for n, row in enumerate(rows, start=1) if not row.label.strip()]
    if unlabelled:
        message = f"{_rows(len(unlabelled))} without a label; give them one or take them out"
        yield _finding("missing_labels", "error", message, unlabelled)
    textless = [n for n, group in enumerate(groups, start=1) if not group]
    if textless:
        message = f"{_rows(len(textless))} without a text; they are left out of training"
        yield _finding("missing_texts", "warning", message, textless)


def _classes(whole: Mapping[int, Row], labels: Mapping[str, int], least: int) -> Iterable[Finding]:
    if len(labels) < 2:
        only = f"every row has the label {next(iter(labels))!r}" if labels else "no row has both a text and a label"
        message = f"{only}; a classifier needs at least two classes"
        yield _finding("one_class", "error", message, list(whole))
    if labels:
        names = list(labels)
        most, fewest = names[0], names[-1]
        message = f"{len(labels)} classes, from {labels[most]} rows ({most!r}) to {labels[fewest]} ({fewest!r})"
        yield _finding("class_counts", "info", message, list(whole))
    small = {label: count for label, count in labels.items() if count < least}
    if small:
        named = _named(f"{label!r} ({count})" for label, count in small.items())
        message = f"{len(small)} of {len(labels)} classes have fewer than {least} rows: {named}; add examples of them"
        yield _finding("few_rows", "warning", message, [n for n, row in whole.items() if row.label in small])


def _similar_labels(whole: Mapping[int, Row], labels: Mapping[str, int]) -> Iterable[Finding]:
    spellings: dict[str, list[str]] = {}
    for label in labels:
        spellings.setdefault(group_key(label), []).append(label)
    several = [names for names in spellings.values() if len(names) > 1]
    if several:
        named = _named(" / ".join(map(repr, sorted(names))) for names in several)
        message = f"labels that differ only in case or white space count as different classes: {named}; write one way"
        concerned = {name for names in several for name in names}
        numbers = [n for n, row in whole.items() if row.label in concerned]
        yield _finding("similar_labels", "warning", message, numbers)


def _repeated(whole: Mapping[int, Row], numbers_of: Mapping[str, list[int]]) -> Iterable[Finding]:
    repeats = sorted(number for numbers in numbers_of.values() for number in numbers[1:])
    if repeats:
        message = f"{_rows(len(repeats))} repeating the text of an earlier one; copies stay together in one split"
        yield _finding("duplicates", "info", message, repeats)
    disputed = [numbers for numbers in numbers_of.values() if len({whole[n].label for n in numbers}) > 1]
    if disputed:
        first = disputed[0]
        names = _named(f"{whole[n].label!r} (row {n})" for n in first)
        message = f"{len(disputed)} texts with more than one label, the first: {names}; decide which is right"
        yield _finding("conflicting_labels", "warning", message, sorted(n for numbers in disputed for n in numbers))


def _splits(whole: Mapping[int, Row], numbers_of: Mapping[str, list[int]]) -> Iterable[Finding]:
    torn = [
        numbers
        for numbers in numbers_of.values()
        if len({whole[n].split for n in numbers if whole[n].split is not None}) > 1
    ]
    if torn:
        message = f"{len(torn)} texts lie in more than one split, so that training would see what is to measure it"
        yield _finding("split_overlap", "error", message, sorted(n for numbers in torn for n in numbers))
    measuring = [n for n, row in whole.items() if row.origin == "flagged" and row.split in ("validation", "test")]
    if measuring:
        message = f"{_rows(len(measuring))} that were flagged lie in validation or test; only random rows may measure"
        yield _finding("flagged_measures", "error", message, measuring)


def _against(
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
        message = f"{len(new)} classes that the snapshot before did not have: {_named(map(repr, new))}"
        yield _finding("new_classes", "info", message, [n for n, row in whole.items() if row.label in new])
    gone = sorted(label for label in known if label not in labels)
    if gone:
        message = f"{len(gone)} classes of the snapshot before are gone: {_named(map(repr, gone))}"
        yield Finding("vanished_classes", "warning", message, (), sum(known[label] for label in gone))
    seen = {row.group for row in previous}
    added = sorted(n for group, numbers in numbers_of.items() if group not in seen for n in numbers)
    message = f"{len(added)} of {len(whole)} rows have a text that the snapshot before did not have"
    yield _finding("new_texts", "info", message, added)


def _finding(kind: str, severity: Severity, message: str, numbers: Sequence[int]) -> Finding:
    return Finding(kind, severity, message, tuple(numbers[:SHOWN_ROWS]), len(numbers))


def _told(finding: Finding) -> str:
    if not finding.rows:
        return finding.message
    more = ", ..." if finding.count > len(finding.rows) else ""
    return f"{finding.message} ({'row' if finding.count == 1 else 'rows'} {', '.join(map(str, finding.rows))}{more})"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_SHOWN_NAMES]) + (", ..." if len(listed) > _SHOWN_NAMES else "")

"""What an audit says: findings that name rows, and whether a run may start.

Errors stop a run, warnings are told, infos describe.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from store.errors import BadInput

Severity = Literal["error", "warning", "info"]

SHOWN_ROWS = 20
_RANK: Mapping[Severity, int] = {"error": 0, "warning": 1, "info": 2}
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
class Suspect:
    """A row whose label may be wrong."""

    row: int
    label: str
    """As given."""
    likely: str
    """What rows that are like it are called."""
    confidence: float
    """In the given label, 0 to 1, by a classifier that did not see the row."""


@dataclass(frozen=True, slots=True)
class Audit:
    rows: int
    labels: Mapping[str, int]
    """Rows per class, the most frequent first; rows without text or label are not counted."""
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...] = ()
    """What was not looked at, each with the reason."""
    suspects: tuple[Suspect, ...] = ()
    """All rows that were judged, the least trustworthy label first."""

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def usable(self) -> bool:
        return not self.errors

    def with_findings(self, further: Iterable[Finding]) -> "Audit":
        """With more findings, those of a kind that it has already left out."""
        kinds = {finding.kind for finding in self.findings}
        new = [finding for finding in further if finding.kind not in kinds]
        return replace(self, findings=by_severity([*self.findings, *new]))

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
            "skipped": list(self.skipped),
        }


def make_finding(kind: str, severity: Severity, message: str, numbers: Sequence[int]) -> Finding:
    """numbers: of all rows that it speaks of, the most telling first."""
    return Finding(kind, severity, message, tuple(numbers[:SHOWN_ROWS]), len(numbers))


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: _RANK[finding.severity]))


def rows_told(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def names_told(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_SHOWN_NAMES]) + (", ..." if len(listed) > _SHOWN_NAMES else "")


def _told(finding: Finding) -> str:
    if not finding.rows:
        return finding.message
    more = ", ..." if finding.count > len(finding.rows) else ""
    return f"{finding.message} ({'row' if finding.count == 1 else 'rows'} {', '.join(map(str, finding.rows))}{more})"

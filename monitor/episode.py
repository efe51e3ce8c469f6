"""A drift from its beginning to its end, and the one measurement of what it costs.

A confirmed drift makes the accuracy worth measuring: on the audit sample of what was answered since it began. It is
measured once, by the first labels that make up what was planned, and the outcome stays with the drift. Whoever measures
again with every further label, or begins anew when a check in between was calm, finds a loss sooner or later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from monitor.accuracy import Estimate, audit_accuracy
from monitor.decision import Verdict
from store.feedback import AuditVerdict
from store.review import WantedLabels

OVER_AFTER = 3
"""Checks in a row without confirmed drift after which the next one is another drift."""
FEWEST_LABELS = 50
"""Below them no accuracy is measured."""


@dataclass(frozen=True, slots=True)
class DriftEpisode:
    """What checks hand on to each other of a drift."""

    since: datetime
    """About when it began."""
    measured: Estimate | None = None
    """The accuracy since then; None until the labels are there."""
    calm_checks: int = 0
    """Checks since the last one that confirmed it."""

    def as_dict(self) -> dict[str, Any]:
        measured = self.measured.as_dict() if self.measured else None
        return {"since": self.since.isoformat(), "measured": measured, "calm_checks": self.calm_checks}


def episode_from(kept: Mapping[str, Any] | None) -> DriftEpisode | None:
    """What `DriftEpisode.as_dict` made."""
    if kept is None:
        return None
    measured = Estimate(**kept["measured"]) if kept["measured"] else None
    return DriftEpisode(datetime.fromisoformat(kept["since"]), measured, kept["calm_checks"])


def go_on(before: DriftEpisode | None, verdict: Verdict, since: datetime | None) -> DriftEpisode | None:
    """The episode after a check. since: when the drift began as this check has it, for verdict `drift`."""
    if verdict is Verdict.NOT_ENOUGH_DATA:
        return before
    if verdict is Verdict.DRIFT:
        if before is not None:
            return replace(before, calm_checks=0)
        return DriftEpisode(since) if since is not None else None
    if before is None or before.calm_checks + 1 >= OVER_AFTER:
        return None
    return replace(before, calm_checks=before.calm_checks + 1)


@dataclass(frozen=True, slots=True)
class SinceDrift:
    """The audit sample of what was answered since a drift began."""

    at: datetime
    """About when it began."""
    planned: int
    """Labels that tell a loss."""
    verdicts: Sequence[AuditVerdict] = ()
    """Of the rows that are labelled, in the order in which they were answered."""
    waiting: int = 0
    """Rows that wait for a label."""
    complete: bool = False
    """Whether as many rows were drawn as are ever looked at, so that none will come in the place of skipped ones."""
    measured: Estimate | None = None
    """What came out, if it was measured before."""

    @property
    def missing(self) -> int:
        """Labels that are missing; none where no more can come and there are enough to go by."""
        used_up = self.complete and not self.waiting and len(self.verdicts) >= FEWEST_LABELS
        return 0 if self.measured or used_up else max(self.planned - len(self.verdicts), 0)

    @property
    def accuracy(self) -> Estimate | None:
        """None until the labels are there."""
        if self.measured is not None or self.missing:
            return self.measured
        return audit_accuracy(self.verdicts[: self.planned])

    @property
    def wanted(self) -> WantedLabels | None:
        """What is asked of people; None if enough is there."""
        return WantedLabels(self.planned, len(self.verdicts), self.waiting, self.at) if self.missing else None

"""What the policy must know, gathered from the store with the session of the caller."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from monitor.accuracy import Estimate, audit_accuracy
from monitor.episode import SinceDrift
from monitor.policy import PolicyFacts, RetrainPolicy
from store.bases import family_of, get_base
from store.events import history
from store.feedback import (
    ROWS_A_LABEL,
    AuditVerdict,
    audit_rows_since,
    audit_verdicts,
    count_labelled,
    last_feedback_seq,
)
from store.records import Run, Version
from store.runs import OPEN, last_run
from store.settings import Settings
from store.snapshots import get_snapshot
from store.versions import get_adapter


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """The part of PolicyFacts that lies in the store."""

    verdicts: Sequence[AuditVerdict]
    """The newest of the audit sample."""
    labelled: Estimate | None
    new_labels: int
    """This and the next: counted up to RetrainPolicy.count_to."""
    new_audit_labels: int
    can_build_on: bool
    feedback_until: int
    """Highest Feedback.seq so far: where the snapshot of a run that is asked for now closes."""
    trained_at: datetime
    asked_at: tuple[datetime, ...]
    """When the policy asked for runs, the newest times."""
    run: Run | None
    """The newest run of the model."""
    base_retired: bool
    nothing_new_since_rejection: bool

    def with_drift(
        self,
        *,
        confirmed: bool,
        drifted: Sequence[str],
        since_drift: SinceDrift | None,
        validation: Estimate | None,
        estimated: Estimate | None,
        estimated_before: float | None,
    ) -> PolicyFacts:
        return PolicyFacts(
            drift_confirmed=confirmed,
            drifted=tuple(drifted),
            since_drift=since_drift,
            validation=validation,
            labelled=self.labelled,
            estimated=estimated,
            estimated_before=estimated_before,
            new_labels=self.new_labels,
            new_audit_labels=self.new_audit_labels,
            can_build_on=self.can_build_on,
            trained_at=self.trained_at,
            last_run_at=None if self.run is None else (self.run.ended_at or self.run.created_at),
            asked_at=self.asked_at,
            open_run=self.run.id if self.run is not None and self.run.status in OPEN else None,
            base_retired=self.base_retired,
            nothing_new_since_rejection=self.nothing_new_since_rejection,
        )


def gather_facts(session: Session, version: Version, settings: Settings) -> StoredFacts:
    """Facts about `version`, in production. Its labelled accuracy is that of its newest `window_rows` audit rows.

    However many labels came since its snapshot closed, no more are looked at than the policy can use.
    """
    closed = closed_at(session, version)
    policy = policy_from(settings)
    verdicts = audit_verdicts(session, version.model, version.number, rows=settings.window_rows)
    asked_for = history(session, version.model, kinds=["retrain_decided"], limit=policy.runs_a_week)
    until = last_feedback_seq(session, version.model)
    run = last_run(session, version.model)
    judged_at = run.ended_at if run is not None and run.status != "failed" else None
    return StoredFacts(
        verdicts=verdicts,
        labelled=audit_accuracy(verdicts),
        new_labels=count_labelled(session, version.model, after_seq=closed, at_most=policy.count_to),
        new_audit_labels=count_labelled(session, version.model, after_seq=closed, at_most=policy.count_to, audit=True),
        can_build_on=version.snapshot is not None,
        feedback_until=until,
        asked_at=tuple(event.at for event in asked_for),
        trained_at=max(version.created_at, judged_at or version.created_at),
        run=run,
        base_retired=family_of(session, get_base(session, get_adapter(session, version).base)).state == "retired",
        nothing_new_since_rejection=(
            run is not None and run.status == "rejected" and run.parameters.get("feedback_until") == until
        ),
    )


def gather_since_drift(session: Session, version: Version, since: datetime, *, planned: int) -> SinceDrift:
    """The rows that are looked at are those that people are given to label (store/review.py)."""
    rows = ROWS_A_LABEL * planned
    found = audit_rows_since(session, version.model, version.number, since=since, rows=rows)
    verdicts = tuple(row.verdict for row in found if row.verdict is not None)
    waiting = sum(row.waits for row in found)
    return SinceDrift(since, planned, verdicts, waiting=waiting, complete=len(found) == rows)


def closed_at(session: Session, version: Version) -> int:
    """Feedback.seq at which the snapshot of `version` closed: labels beyond it are new. An imported adapter has no
    snapshot, and all labels are new to it."""
    return get_snapshot(session, version.snapshot).feedback_until if version.snapshot is not None else 0


def policy_from(settings: Settings) -> RetrainPolicy:
    return RetrainPolicy(
        min_labels=settings.retrain_min_labels,
        min_audit_labels=settings.retrain_min_audit_labels,
        cooldown=timedelta(seconds=settings.retrain_cooldown_s),
        runs_a_week=settings.retrain_runs_a_week,
        accuracy_drop=settings.retrain_accuracy_drop,
        every=timedelta(days=settings.retrain_every_days),
        alert_ratio=settings.alert_accuracy_ratio,
    )

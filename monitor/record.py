"""The end of a check: one short transaction that writes the record, the story and, if it is called for, the run.

Two monitors, or a monitor and a person, may check at the same moment. Computing takes a second and happens outside
any transaction, so the transaction first makes sure that nobody was faster: windows of a version never overlap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from monitor.accuracy import Estimate
from monitor.decision import DriftDecision, PastCheck, Verdict
from monitor.episode import DriftEpisode, SinceDrift
from monitor.facts import StoredFacts
from monitor.labelled import LabelFindings
from monitor.policy import Action, PolicyDecision, PolicyFacts, RetrainPolicy, decide_retrain
from monitor.report import Drawing
from monitor.story import concept_line, drift_line, policy_lines
from monitor.window import Window
from store.checks import add_check, last_checks
from store.errors import Conflict
from store.events import tell
from store.ids import new_id
from store.records import Check, Version
from store.runs import NewRun, enqueue_run, last_run
from store.versions import get_deployment


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the store said before anything was computed."""

    version: Version
    base: str
    labels: tuple[str, ...]
    past: list[Check]
    """Checks of this version that had enough data, oldest first."""
    recorded: Check | None
    """The newest check of this version, with enough data or not."""
    window: Window
    facts: StoredFacts


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """What a check found out."""

    drift: DriftDecision
    signals: dict[str, Any]
    reference_rows: int
    telling: tuple[str, ...] = ()
    """Ids of the predictions in which a drift shows most, the most telling first."""
    validation: Estimate | None = None
    estimated: Estimate | None = None
    estimated_before: float | None = None
    """The same estimate of the reference."""
    labels: LabelFindings | None = None
    """None without a reference, or without labels."""
    episode: DriftEpisode | None = None
    """The drift that goes on."""
    since_drift: SinceDrift | None = None
    """What labels tell of it, if it is confirmed and there is a validation accuracy to compare with."""
    report: str | None = None
    drawing: Drawing | None = None
    """What the page of `report` shows."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a check."""

    check: str | None
    """Id of its record; None if it was not worth one."""
    model: str
    version: int
    drift: DriftDecision
    signals: Mapping[str, Any]
    """As in the record: statistic, p_value, threshold, drifted, telling, change and since, per signal."""
    telling: tuple[str, ...]
    """Ids of the predictions in which a drift shows most, the most telling first."""
    window_rows: int
    window_until: int
    """Last Prediction.seq that any check of this version has looked at."""
    reference_rows: int
    accuracy: Mapping[str, Any]
    """validation, estimated, labelled: value, low, high, rows of each that is known."""
    labels: LabelFindings | None
    """What else the labelled rows say."""
    episode: DriftEpisode | None
    """The drift that goes on."""
    policy: PolicyDecision
    report: str | None
    """Artifact that holds the page, `report.html`."""
    run: str | None
    """The run that was queued, if one was."""
    at: datetime

    def as_dict(self) -> dict[str, Any]:
        """The object that `driftgate drift check --json` prints."""
        return {
            "check": self.check,
            "model": self.model,
            "version": self.version,
            "verdict": self.drift.verdict.value,
            "kinds": list(self.drift.kinds),
            "signals": dict(self.signals),
            "telling": list(self.telling),
            "window_rows": self.window_rows,
            "reference_rows": self.reference_rows,
            "estimated_accuracy": self.accuracy.get("estimated", {}).get("value"),
            "reason": self.drift.reason,
            "concept": self.drift.concept,
            "accuracy": dict(self.accuracy),
            "labels": self.labels.as_dict() if self.labels else None,
            "episode": self.episode.as_dict() if self.episode else None,
            "decision": self.policy.as_dict(),
            "report": self.report,
            "run": self.run,
        }


def past_check(check: Check) -> PastCheck:
    drifted = frozenset(name for name, found in check.signals.items() if found["drifted"])
    return PastCheck(Verdict(check.verdict), drifted)


def policy_facts(seen: Seen, computed: Computed) -> PolicyFacts:
    """Without enough data the last verdict stands: labels may arrive when traffic has gone."""
    confirmed, drifted = computed.drift.verdict is Verdict.DRIFT, list(computed.drift.drifted)
    if computed.drift.verdict is Verdict.NOT_ENOUGH_DATA and seen.past:
        last = past_check(seen.past[-1])
        confirmed, drifted = last.verdict is Verdict.DRIFT, sorted(last.drifted)
    return seen.facts.with_drift(
        confirmed=confirmed,
        drifted=drifted,
        since_drift=computed.since_drift,
        validation=computed.validation,
        estimated=computed.estimated,
        estimated_before=computed.estimated_before,
    )


def record_check(
    session: Session, seen: Seen, computed: Computed, rules: RetrainPolicy, *, now: datetime
) -> CheckResult:
    """Write everything that a check leads to. Raises Conflict when the world has moved on since `seen`."""
    model, number = seen.version.model, seen.version.number
    _require_unchanged(session, seen)
    # A person may have asked for a run while we computed: the policy looks at the runs of this very moment.
    facts = replace(seen.facts, run=last_run(session, model))
    policy = decide_retrain(policy_facts(replace(seen, facts=facts), computed), rules, now)
    check_id = new_id(now)
    lines = policy_lines(seen.recorded.decision if seen.recorded else {}, policy)
    found = [
        drift_line(Verdict(seen.past[-1].verdict) if seen.past else None, computed.drift),
        concept_line(seen.recorded.kinds if seen.recorded else (), computed.drift),
    ]
    for kind, message in [*filter(None, found), *lines]:
        tell(session, model, kind, message, by="monitor", now=now, version=number, check=check_id)
    run = None
    if policy.action is Action.RETRAIN:
        parameters = {
            "feedback_until": seen.facts.feedback_until,
            "requires_improvement": policy.requires_improvement,
        }
        new = NewRun(model, seen.base, cause=policy.summary, strategy="lora", parameters=parameters)
        run = enqueue_run(session, new, by="monitor", now=now).id
    result = result_of(seen, computed, policy, check=check_id, run=run, at=now)
    add_check(session, _as_row(result, seen))
    return result


def result_of(
    seen: Seen, computed: Computed, policy: PolicyDecision, *, check: str | None, run: str | None, at: datetime
) -> CheckResult:
    known = {"validation": computed.validation, "estimated": computed.estimated, "labelled": seen.facts.labelled}
    return CheckResult(
        check=check,
        model=seen.version.model,
        version=seen.version.number,
        drift=computed.drift,
        signals=computed.signals,
        telling=computed.telling,
        window_rows=seen.window.rows,
        window_until=max(seen.window.last_seq, seen.past[-1].window_until if seen.past else 0),
        reference_rows=computed.reference_rows,
        accuracy={kind: estimate.as_dict() for kind, estimate in known.items() if estimate is not None},
        labels=computed.labels,
        episode=computed.episode,
        policy=policy,
        report=computed.report,
        run=run,
        at=at,
    )


def _as_row(result: CheckResult, seen: Seen) -> Check:
    assert result.check is not None  # noqa: S101  # only recorded results come here
    return Check(
        id=result.check,
        model=result.model,
        version=result.version,
        verdict=result.drift.verdict.value,
        kinds=list(result.drift.kinds),
        signals=dict(result.signals),
        window_rows=result.window_rows,
        window_from=seen.window.first_seq,
        window_until=seen.window.last_seq,
        reference_rows=result.reference_rows,
        accuracy=dict(result.accuracy),
        decision={
            **result.policy.as_dict(),
            "drift": result.drift.reason,
            "concept": result.drift.concept,
            "telling": list(result.telling),
            "labels": result.labels.as_dict() if result.labels else None,
            "episode": result.episode.as_dict() if result.episode else None,
            "run": result.run,
        },
        report=result.report,
        at=result.at,
    )


def _require_unchanged(session: Session, seen: Seen) -> None:
    model, number = seen.version.model, seen.version.number
    if get_deployment(session, model).production != number:
        raise Conflict(f"version {number} of {model!r} left production while it was checked; check again")
    newest = last_checks(session, model, version=number, limit=1)
    if [check.id for check in newest] != ([seen.recorded.id] if seen.recorded else []):
        raise Conflict(f"another check of {model!r} was recorded meanwhile; look at it, or check again")

"""Runs: the queue between the monitor, which asks for training, and the worker, which does it.

A worker holds a run by a lease that it renews; when it dies the lease ends and another worker goes on from the
last finished stage. A run that is started again and again without getting anywhere fails, with that reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, or_, select, update
from sqlalchemy.orm import Session

from store.bases import get_base, require_trainable
from store.errors import Conflict, Refused, unknown
from store.events import tell
from store.ids import new_id
from store.records import Base, Model, Rollout, Run, RunMetric

OPEN = ("queued", "running")


class LeaseLost(Conflict):
    kind = "lease-lost"
    title = "Another worker took over"


@dataclass(frozen=True, slots=True)
class NewRun:
    """What is asked of the worker. `parameters` overrule those of retrain.strategy.TrainingPlan."""

    model: str
    base: str
    cause: str
    strategy: str
    parameters: dict[str, Any]


def enqueue_run(session: Session, new: NewRun, *, by: str, now: datetime) -> Run:
    """Queue a run. Raises Conflict while another one of the same model is open, NotFound, and Refused for a base that
    must not be trained on: a run that does not say otherwise (`promote` in its parameters) is for production."""
    session.get(Base, new.base, with_for_update={"key_share": True})  # who else asks at this moment waits
    require_base(session, new.model, new.base, production=bool(new.parameters.get("promote", True)))
    open_run = session.scalar(select(Run.id).where(Run.model == new.model, Run.status.in_(OPEN)))
    if open_run is not None:
        raise Conflict(f"model {new.model!r} has an open run already: {open_run}")
    run = Run(
        id=new_id(now),
        model=new.model,
        base=new.base,
        status="queued",
        cause=new.cause,
        strategy=new.strategy,
        parameters=new.parameters,
        environment={},
        snapshot=None,
        version=None,
        evaluation={},
        reason=None,
        stage="queued",
        progress=0.0,
        attempts=0,
        owner=None,
        lease_until=None,
        created_at=now,
        started_at=None,
        ended_at=None,
    )
    session.add(run)
    session.flush()
    tell(session, new.model, "run_queued", new.cause, by=by, now=now, run=run.id)
    return run


def require_base(session: Session, model: str, name: str, *, production: bool) -> None:
    """Raises Refused unless `model` may be trained on base `name`; production: whether it may be promoted by itself."""
    base = get_base(session, name)
    if base.parent is not None:
        raise Refused(f"base {name!r} was tuned for one version and is not trained on; train on base {base.parent!r}")
    require_trainable(base, production=production)
    known = session.get(Model, model)
    if known is not None and known.base != name:
        raise Refused(f"model {model!r} stands on base {known.base!r}; train on that, or under another model name")


def is_run_waiting(session: Session, *, now: datetime) -> bool:
    """Whether there is a run that `claim_next_run` would take or give up."""
    return session.scalar(select(Run.id).where(_claimable(now)).limit(1)) is not None


def _claimable(now: datetime) -> ColumnElement[bool]:
    """Queued, or of a worker that fell silent."""
    return or_(Run.status == "queued", (Run.status == "running") & (Run.lease_until < now))


def claim_next_run(
    session: Session,
    *,
    owner: str,
    lease_s: float,
    max_attempts: int,
    now: datetime,
    run_id: str | None = None,
) -> Run | None:
    """Take the oldest run that is queued or whose worker fell silent (or only `run_id`); None if there is none."""
    query = select(Run).where(_claimable(now)).order_by(Run.created_at).limit(1).with_for_update(skip_locked=True)
    if run_id is not None:
        query = query.where(Run.id == run_id)
    while (run := session.scalar(query)) is not None and run.attempts >= max_attempts:
        run.owner = None
        _end(session, run, "failed", f"started {run.attempts} times without progress in {run.stage!r}", now=now)
    if run is None:
        return None
    if run.started_at is None:
        run.started_at = now
        tell(session, run.model, "run_started", "training started", by="worker", now=now, run=run.id)
    else:
        tell(
            session,
            run.model,
            "run_resumed",
            f"training resumed in stage {run.stage!r} after its worker fell silent",
            by="worker",
            now=now,
            run=run.id,
        )
    run.status = "running"
    run.owner = owner
    run.attempts += 1
    run.lease_until = now + timedelta(seconds=lease_s)
    return run


def renew_lease(session: Session, run_id: str, *, owner: str, lease_s: float, now: datetime) -> None:
    """Raises LeaseLost when the run belongs to somebody else by now."""
    renewed = session.scalar(
        update(Run)
        .where(Run.id == run_id, Run.owner == owner, Run.status == "running")
        .values(lease_until=now + timedelta(seconds=lease_s))
        .returning(Run.id)
    )
    if renewed is None:
        raise LeaseLost(f"run {run_id} is not held by {owner} any more")


def release_run(session: Session, run_id: str, *, owner: str, now: datetime) -> None:
    """Hand a run back at once, for whoever comes next to carry on. Raises LeaseLost."""
    released = session.scalar(
        update(Run)
        .where(Run.id == run_id, Run.owner == owner, Run.status == "running")
        .values(lease_until=now, attempts=Run.attempts - 1)
        .returning(Run.id)
    )
    if released is None:
        raise LeaseLost(f"run {run_id} is not held by {owner} any more")


def report_progress(
    session: Session,
    run_id: str,
    *,
    owner: str,
    stage: str,
    progress: float,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Note how far a run has come, with new `values` of its columns. Raises LeaseLost.

    `Run.progress` never shrinks: a start that only repeats what an earlier one did must not look like progress, or a
    run that ends its worker each time would be tried for ever.
    """
    further = Run.progress < progress
    changed = session.scalar(
        update(Run)
        .where(Run.id == run_id, Run.owner == owner, Run.status == "running")
        .values(
            stage=stage,
            progress=case((further, progress), else_=Run.progress),
            attempts=case((further, 1), else_=Run.attempts),
            **(values or {}),
        )
        .returning(Run.id)
    )
    if changed is None:
        raise LeaseLost(f"run {run_id} is not held by {owner} any more")


def add_metrics(session: Session, run_id: str, step: int, values: Mapping[str, float]) -> None:
    """Figures of a training step; a step that is trained again after a crash replaces its figures."""
    for name, value in values.items():
        session.merge(RunMetric(run=run_id, step=step, name=name, value=value))


def finish_run(
    session: Session,
    run_id: str,
    *,
    owner: str,
    status: str,
    reason: str,
    now: datetime,
    version: int | None = None,
) -> None:
    """End a run as succeeded, rejected or failed, with the written reason. Raises LeaseLost."""
    run = session.get(Run, run_id, with_for_update=True) or get_run(session, run_id)
    if run.owner != owner or run.status != "running":
        raise LeaseLost(f"run {run_id} is not held by {owner} any more")
    run.version = version
    _end(session, run, status, reason, now=now)


def _end(session: Session, run: Run, status: str, reason: str, *, now: datetime) -> None:
    run.status = status
    run.reason = reason
    run.progress = 1.0
    run.lease_until = None
    run.ended_at = now
    tell(session, run.model, f"run_{status}", reason, by="worker", now=now, version=run.version, run=run.id)


def get_run(session: Session, run_id: str) -> Run:
    run = session.get(Run, run_id)
    if run is None:
        raise unknown("run", run_id, session.scalars(select(Run.id)))
    return run


def list_runs(session: Session, model: str | None = None) -> list[Run]:
    query = select(Run).order_by(Run.created_at)
    if model is not None:
        query = query.where(Run.model == model)
    return list(session.scalars(query))


def ended_runs(session: Session, run_ids: Sequence[str]) -> set[str]:
    """Those of `run_ids` that have ended; names that are no run's are none of them."""
    return set(session.scalars(select(Run.id).where(Run.id.in_(run_ids), Run.ended_at.is_not(None))))


def last_run(session: Session, model: str) -> Run | None:
    """The newest run of a model, open or ended."""
    return session.scalar(select(Run).where(Run.model == model).order_by(Run.created_at.desc()).limit(1))


def run_metrics(session: Session, run_id: str) -> list[RunMetric]:
    return list(
        session.scalars(select(RunMetric).where(RunMetric.run == run_id).order_by(RunMetric.step, RunMetric.name))
    )


def open_rollout(
    session: Session, model: str, *, candidate: int, production: int | None, run: str | None, now: datetime
) -> Rollout:
    """The rollout of `candidate`, begun if it is new."""
    known = session.scalar(
        select(Rollout).where(Rollout.model == model, Rollout.candidate == candidate, Rollout.run == run)
    )
    if known is not None:
        return known
    rollout = Rollout(
        id=new_id(now),
        model=model,
        run=run,
        candidate=candidate,
        production=production,
        stage="offline",
        outcome="open",
        evidence={},
        started_at=now,
        ended_at=None,
    )
    session.add(rollout)
    session.flush()
    return rollout


def list_rollouts(session: Session, model: str) -> list[Rollout]:
    return list(session.scalars(select(Rollout).where(Rollout.model == model).order_by(Rollout.started_at)))

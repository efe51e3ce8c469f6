"""Questions about drift checks, and what becomes of their reports."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from store.errors import unknown
from store.newest import newest_of
from store.records import Check


def add_check(session: Session, check: Check) -> None:
    session.add(check)


def last_checks(
    session: Session, model: str, *, version: int | None = None, limit: int = 100, decided: bool = False
) -> list[Check]:
    """The newest `limit` checks of a model (or of one version), oldest first.

    decided: only those that had enough data.
    """
    if version is None:
        query = newest_of(session, select(Check), Check.model, model, Check.seq)
    else:
        query = newest_of(session, select(Check).where(Check.model == model), Check.version, version, Check.seq)
    if decided:
        query = query.where(Check.verdict != "not_enough_data")
    rows = session.scalars(query.limit(limit)).all()
    return list(reversed(rows))


def get_check(session: Session, check_id: str) -> Check:
    check = session.scalar(select(Check).where(Check.id == check_id))
    if check is None:
        raise unknown("check", check_id, session.scalars(select(Check.id)))
    return check


def why_no_report(check: Check) -> str:
    """For a person who looks for the report of a check that has none."""
    if check.report_deleted_at is not None:
        when = f"{check.report_deleted_at:%Y-%m-%d}"
        return f"it was deleted on {when}, older than DRIFTGATE_REPORTS_KEEP_DAYS; the figures of the check stay"
    if check.verdict == "not_enough_data":
        return "there was too little data to compare"
    return (
        "nothing differed and nobody had asked; to compare the newest predictions now, and have that drawn: "
        f"driftgate drift check {check.model}"
    )


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A check whose report is still there."""

    check: str
    model: str
    seq: int
    """Grows from check to check."""
    at: datetime


def kept_reports(session: Session) -> list[KeptReport]:
    query = select(Check.id, Check.model, Check.seq, Check.at).where(Check.report.is_not(None)).order_by(Check.seq)
    return [KeptReport(check, model, seq, at) for check, model, seq, at in session.execute(query)]


def retire_reports(session: Session, checks: Collection[str], *, now: datetime) -> None:
    """Take the reports of `checks` out of sight, and note that their artifacts are to be deleted."""
    session.execute(
        update(Check)
        .where(Check.id.in_(checks), Check.report.is_not(None))
        .values(report_retired=Check.report, report=None, report_deleted_at=now)
    )


def retired_reports(session: Session) -> list[str]:
    """Artifacts that are still to be deleted, each once."""
    keys = session.scalars(select(Check.report_retired).where(Check.report_retired.is_not(None)).distinct())
    return sorted(key for key in keys if key is not None)


def shown_reports(session: Session, keys: Collection[str]) -> set[str]:
    """Those of `keys` that are the report of a check: the same page may be that of several."""
    shown = session.scalars(select(Check.report).where(Check.report.in_(keys)))
    return {key for key in shown if key is not None}


def forget_retired(session: Session, keys: Collection[str]) -> None:
    """Nothing is left to be deleted of `keys`."""
    session.execute(update(Check).where(Check.report_retired.in_(keys)).values(report_retired=None))

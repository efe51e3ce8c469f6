"""Questions about drift checks."""

from sqlalchemy import select
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

"""The story of a model: append-only lines, each written in the transaction of the step it tells of."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.records import Event


def tell(
    session: Session,
    model: str,
    kind: str,
    message: str,
    *,
    by: str,
    now: datetime,
    version: int | None = None,
    **links: str | int,
) -> None:
    """Add a line to the story of `model`. `links` name what it speaks of: run, check, snapshot, rollout."""
    session.add(Event(model=model, kind=kind, message=message, by=by, version=version, links=dict(links), at=now))


def history(
    session: Session, model: str, *, after_seq: int = 0, kinds: Sequence[str] = (), limit: int = 1000
) -> list[Event]:
    """Events of `model`, oldest first; the newest `limit` of them."""
    query = select(Event).where(Event.model == model, Event.seq > after_seq)
    if kinds:
        query = query.where(Event.kind.in_(kinds))
    rows = session.scalars(query.order_by(Event.seq.desc()).limit(limit)).all()
    return list(reversed(rows))

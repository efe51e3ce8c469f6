"""Questions about bases."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.errors import Conflict, unknown
from store.records import Base


def add_base(session: Session, base: Base) -> bool:
    """Register a base; whether its graph replaces another one.

    Its spec says what it is: the same one under the same name again is fine, and how it is exported and what was
    measured anew replace what was there before. Another spec is a Conflict.
    """
    known = session.get(Base, base.name)
    if known is None:
        session.add(base)
        return False
    if known.spec != base.spec:
        raise Conflict(
            f"base {base.name!r} exists already, imported from {known.source!r} with other settings or weights; "
            "bases do not change: choose another --name"
        )
    replaced = known.artifact != base.artifact
    known.artifact = base.artifact
    if base.speeds:
        known.speeds = base.speeds
    return replaced


def get_base(session: Session, name: str) -> Base:
    base = session.get(Base, name)
    if base is None:
        known = list(session.scalars(select(Base.name)))
        raise unknown("base", name, known, hint="(import one with: driftgate base import)")
    return base


def list_bases(session: Session) -> list[Base]:
    return list(session.scalars(select(Base).order_by(Base.name)))

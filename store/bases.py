"""Bases: which there are, what state each is in, and who put it there and why.

A base is a `candidate` when it is imported. A person who has read its card and its profile makes it `approved`; only on
an approved base is trained for production, and only versions on one are promoted. `retired` ends that: what stands on
it goes on answering, and can be rolled back to, but nothing new is trained on it. Each step is a line in its story.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.errors import BadInput, Conflict, Refused, unknown
from store.records import Base, BaseEvent


def add_base(session: Session, base: Base) -> bool:
    """Register a base; whether its graph replaces another one.

    Its spec says what it is: the same one under the same name again is fine, and how it is exported, what its card says
    and what was measured anew replace what was there before; its state stays. Another spec is a Conflict.
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
    known.speeds = base.speeds or known.speeds
    known.card = base.card or known.card
    known.profile = base.profile or known.profile
    return replaced


def get_base(session: Session, name: str) -> Base:
    base = session.get(Base, name)
    if base is None:
        known = list(session.scalars(select(Base.name)))
        raise unknown("base", name, known, hint="(import one with: driftgate base import)")
    return base


def list_bases(session: Session) -> list[Base]:
    return list(session.scalars(select(Base).order_by(Base.name)))


def tell_of_base(session: Session, name: str, kind: str, message: str, *, by: str, now: datetime) -> None:
    """Add a line to the story of a base."""
    session.add(BaseEvent(base=name, kind=kind, message=message, by=by, at=now))


def base_story(session: Session, name: str) -> list[BaseEvent]:
    """All lines, oldest first."""
    return list(session.scalars(select(BaseEvent).where(BaseEvent.base == name).order_by(BaseEvent.seq)))


def approve_base(session: Session, name: str, *, why: str, by: str, now: datetime) -> Base:
    """Let versions on it into production; also one that was retired. Raises NotFound, Conflict, BadInput, Refused."""
    return _set_state(session, name, "approved", why=why, by=by, now=now)


def retire_base(session: Session, name: str, *, why: str, by: str, now: datetime) -> Base:
    """Let nothing new be trained on it. Raises NotFound, Conflict, BadInput, Refused."""
    return _set_state(session, name, "retired", why=why, by=by, now=now)


def family_of(session: Session, base: Base) -> Base:
    """The base that `base` was tuned from, or itself: a tuned one is approved and retired with it."""
    return base if base.parent is None else session.get_one(Base, base.parent)


def _set_state(session: Session, name: str, state: str, *, why: str, by: str, now: datetime) -> Base:
    if not why.strip():
        raise BadInput(f"say why base {name!r} is {state}: the reason is all that others have later", where="why")
    parent = get_base(session, name).parent
    if parent is not None:
        raise Refused(f"base {name!r} was tuned from base {parent!r} and is approved and retired with it")
    base = session.get_one(Base, name, with_for_update=True, populate_existing=True)  # one change at a time
    if base.state == state:
        raise Conflict(f"base {name!r} is {state} already; driftgate base show {name} says since when and why")
    base.state = state
    tell_of_base(session, name, state, why.strip(), by=by, now=now)
    return base


def require_trainable(base: Base, *, production: bool) -> None:
    """Raises Refused unless `base` may be trained on; production: whether the version may be promoted by itself."""
    if base.state == "retired":
        raise Refused(
            f"base {base.name!r} is retired and nothing new is trained on it "
            f"(driftgate base show {base.name} says why); train on another base"
        )
    if production and base.state != "approved":
        raise Refused(
            f"base {base.name!r} is a {base.state}, and only approved bases train for production; "
            f"say driftgate base approve {base.name} --why TEXT, or train without promoting"
        )


def require_promotable(base: Base, *, model: str, version: int) -> None:
    """Raises Refused unless a version on `base` may go into production."""
    if base.state != "approved":
        raise Refused(
            f"version {version} of {model!r} stands on base {base.name!r}, which is {_state(base)}; "
            f"it can be promoted after driftgate base approve {base.name} --why TEXT"
        )


def _state(base: Base) -> str:
    return "a candidate" if base.state == "candidate" else base.state

"""Questions about dataset snapshots."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.errors import BadInput, NotFound
from store.records import Snapshot

MIN_PREFIX = 4
"""Letters of an id that name a snapshot, if no other begins so."""


def add_snapshot(session: Session, snapshot: Snapshot) -> None:
    """Register a snapshot; the same content again is the same snapshot."""
    if session.get(Snapshot, snapshot.id) is None:
        session.add(snapshot)
        session.flush()


def get_snapshot(session: Session, snapshot_id: str) -> Snapshot:
    snapshot = session.get(Snapshot, snapshot_id)
    if snapshot is None:
        raise NotFound(f"no snapshot {snapshot_id!r}")
    return snapshot


def find_snapshot(session: Session, prefix: str) -> Snapshot:
    """By its id, or by the beginning of it. Raises NotFound, or BadInput for a beginning that does not tell which."""
    if len(prefix) < MIN_PREFIX:
        raise BadInput(f"{prefix!r} is too short for the id of a snapshot; give at least {MIN_PREFIX} of its letters")
    begins = Snapshot.id.startswith(prefix, autoescape=True)
    found = session.scalars(select(Snapshot).where(begins).order_by(Snapshot.id).limit(3)).all()
    if not found:
        raise NotFound(f"no snapshot {prefix[:100]!r}; see driftgate data list")
    if len(found) > 1:
        names = ", ".join(snapshot.id[: len(prefix) + 4] + "..." for snapshot in found)
        raise BadInput(f"several snapshots begin with {prefix!r}: {names}; give more of the id")
    return found[0]


def list_snapshots(session: Session, model: str | None = None) -> Sequence[Snapshot]:
    """The oldest first."""
    query = select(Snapshot).order_by(Snapshot.created_at, Snapshot.id)
    if model is not None:
        query = query.where(Snapshot.model == model)
    return session.scalars(query).all()

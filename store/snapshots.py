"""Questions about dataset snapshots."""

from sqlalchemy.orm import Session

from store.errors import NotFound
from store.records import Snapshot


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

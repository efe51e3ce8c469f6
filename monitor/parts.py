"""What the monitor needs of the outside world, opened in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from store.artifacts import ArtifactStore, open_artifacts
from store.clock import Clock, utc_now
from store.database import Database, open_database
from store.settings import Settings


@dataclass(frozen=True, slots=True)
class MonitorParts:
    settings: Settings
    database: Database
    artifacts: ArtifactStore
    clock: Clock = utc_now


@contextmanager
def open_monitor_parts(settings: Settings, *, clock: Clock = utc_now) -> Iterator[MonitorParts]:
    """Raises StoreUnavailable, SchemaMismatch, BadInput."""
    database = open_database(settings)
    try:
        yield MonitorParts(settings, database, open_artifacts(settings), clock)
    finally:
        database.close()

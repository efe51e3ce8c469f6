"""What the monitor needs of the outside world, opened in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from monitor.references import References
from store.artifacts import ArtifactStore, open_artifacts
from store.clock import Clock, utc_now
from store.database import Database, open_database
from store.settings import Settings


@dataclass(frozen=True, slots=True)
class MonitorParts:
    settings: Settings
    database: Database
    artifacts: ArtifactStore
    references: References
    clock: Clock = utc_now


@contextmanager
def open_monitor_parts(settings: Settings, *, clock: Clock = utc_now) -> Iterator[MonitorParts]:
    """Raises StoreUnavailable, SchemaMismatch, BadInput."""
    database = open_database(settings)
    try:
        artifacts = open_artifacts(settings)
        yield MonitorParts(settings, database, artifacts, References(artifacts), clock)
    finally:
        database.close()

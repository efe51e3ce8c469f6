"""What the monitor needs of the outside world, opened in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from monitor.references import References
from monitor.slices import Baselines
from monitor.workspace import EvidentlyWorkspace
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
    baselines: Baselines
    clock: Clock = utc_now
    workspace: EvidentlyWorkspace | None = None
    """Where pages go beside the artifacts, if anywhere."""


@contextmanager
def open_monitor_parts(settings: Settings, *, clock: Clock = utc_now) -> Iterator[MonitorParts]:
    """Raises StoreUnavailable, SchemaMismatch, BadInput."""
    folder = settings.evidently_workspace
    workspace = EvidentlyWorkspace(folder) if folder is not None else None
    database = open_database(settings)
    try:
        artifacts = open_artifacts(settings)
        yield MonitorParts(settings, database, artifacts, References(artifacts), Baselines(database), clock, workspace)
    finally:
        database.close()

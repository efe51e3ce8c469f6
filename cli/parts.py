"""What commands work with, opened in one place: settings from the environment, the database, the artifacts."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import typer

from store.artifacts import ArtifactStore, open_artifacts
from store.clock import Clock, utc_now
from store.database import Database, open_database
from store.logs import configure_logs
from store.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Parts:
    settings: Settings
    database: Database
    artifacts: ArtifactStore
    clock: Clock = utc_now


def home_of(ctx: typer.Context) -> Path | None:
    """What `--home` said; None if it was not said."""
    home: Path | None = ctx.find_root().obj
    return home


def settings_of(ctx: typer.Context, **overrides: object) -> Settings:
    """Settings in force for this command, with logs set up accordingly. Raises BadInput naming a bad variable."""
    settings = load_settings(home=home_of(ctx), **overrides)
    configure_logs(settings.log_style)
    return settings


@contextmanager
def open_parts(ctx: typer.Context) -> Iterator[Parts]:
    """Raises BadInput, StoreUnavailable, SchemaMismatch."""
    settings = settings_of(ctx)
    artifacts = open_artifacts(settings)
    database = open_database(settings)
    try:
        yield Parts(settings, database, artifacts)
    finally:
        database.close()


def person() -> str:
    """Who types this, for the story of a model."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return "cli"


def installed_version() -> str:
    try:
        return metadata.version("driftgate")
    except metadata.PackageNotFoundError:
        return "0.0.0 (run from its source folder)"

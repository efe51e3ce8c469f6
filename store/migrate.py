"""Runs the migrations in store/migrations."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from store import migrations

_UPGRADE_LOCK = 0x64726966
"""Key of the advisory lock; any number that nobody else uses."""


def migration_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def upgrade_to_head(engine: Engine) -> None:
    """Apply what is missing, in one transaction where the database can. Whoever comes second waits, then has nothing
    to do."""
    config = migration_config()
    with engine.execution_options(driftgate_writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's write transaction is a lock by itself
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

"""Runs the migrations in store/migrations."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from store import migrations


def migration_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def upgrade_to_head(engine: Engine) -> None:
    """Apply what is missing, in one transaction where the database can."""
    config = migration_config()
    with engine.execution_options(driftgate_writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

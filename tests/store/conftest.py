"""One suite for both databases: every test that asks for `database` runs on SQLite and on PostgreSQL."""

import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import postgres
from benchmarks.postgres import Postgres
from store.database import Database, open_database
from store.migrations import SCHEMA_HEAD
from store.records import Record
from store.settings import Settings, load_settings

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[Postgres]:
    why_not = postgres.why_not()
    if why_not is not None:
        pytest.skip(why_not)
    server = Postgres()
    try:
        server.start()
        migrated = Database(load_settings(database_url=server.create("migrated")).database)
        migrated.upgrade()
        migrated.close()
        server.create("suite", template="migrated")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = load_settings(home=tmp_path_factory.mktemp("migrated"))
    open_database(settings).close()
    return settings.home / "driftgate.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_settings(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that name a database without any table."""
    if kind == "sqlite":
        return load_settings(home=tmp_path / "home", database_url=f"sqlite:///{tmp_path}/empty.db")
    server: Postgres = request.getfixturevalue("running_postgres")
    return load_settings(home=tmp_path / "home", database_url=server.create(uuid.uuid4().hex))


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that name a migrated database."""
    if kind == "sqlite":
        (tmp_path / "home").mkdir()
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), tmp_path / "home" / "driftgate.db")
        return load_settings(home=tmp_path / "home")
    server: Postgres = request.getfixturevalue("running_postgres")
    server.empty("suite", Record.metadata.tables, schema=SCHEMA_HEAD)
    return load_settings(home=tmp_path / "home", database_url=server.url("suite"))


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = open_database(settings)
    yield opened
    opened.close()

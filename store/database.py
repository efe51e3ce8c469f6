"""One door to the database: short read and write transactions on SQLite (WAL) or PostgreSQL.

A write transaction on SQLite starts with BEGIN IMMEDIATE, so that it waits for the writer before it, instead of
failing half way when it would upgrade a read lock. Every commit is synced to disk before it returns: what a caller
was told is stored survives `kill -9` and power loss (https://sqlite.org/pragma.html#pragma_synchronous).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Insert, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    InterfaceError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session

from store.errors import BadInput, SchemaMismatch, StoreUnavailable
from store.migrations import SCHEMA_HEAD, SCHEMA_REVISIONS
from store.settings import Settings

_WRITES = "driftgate_writes"
BUSY_TIMEOUT_S = 30


class Database:
    def __init__(self, url: str) -> None:
        """Open `url` without looking at the schema. Raises BadInput for a URL that no driver understands."""
        self.url = url
        try:
            self._engine = _make_engine(url)
            self._reading = self._engine.execution_options(**_read_options(url))
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise BadInput(
                f"no driver for database {make_url(url).render_as_string()!r}: {error}; "
                "PostgreSQL needs the extra: pip install 'driftgate[postgres]'"
            ) from None

    @property
    def engine(self) -> Engine:
        return self._engine

    def file_state(self) -> tuple[tuple[int, int], ...] | None:
        """What the files of an SQLite database look like from outside, at the price of two system calls; None for
        other databases. It changes with every write, save two within the file system's clock tick."""
        file = self._engine.url.database if self._engine.dialect.name == "sqlite" else None
        if file is None:
            return None
        found = []
        for name in (file, f"{file}-wal"):
            try:
                stat = os.stat(name)
            except OSError:
                continue
            found.append((stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state. Raises StoreUnavailable."""
        with _translated(self.url), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is durable when the block ends, and undone when it raises. Raises StoreUnavailable."""
        writing = self._engine.execution_options(**{_WRITES: True})
        with _translated(self.url), Session(writing, expire_on_commit=False) as session, session.begin():
            yield session

    def schema_revision(self) -> str | None:
        """The revision the database is at; None if it is empty."""
        with _translated(self.url), self._engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return revision

    def require_schema(self) -> None:
        """Raises SchemaMismatch unless the database is at the revision that this driftgate was written for."""
        found = self.schema_revision()
        if found == SCHEMA_HEAD:
            return
        shown = make_url(self.url).render_as_string()
        if found is None or found in SCHEMA_REVISIONS:
            raise SchemaMismatch(
                f"store {shown} is at schema {found or 'none'}, this driftgate needs {SCHEMA_HEAD}; "
                "run: driftgate db upgrade"
            )
        raise SchemaMismatch(
            f"store {shown} is at schema {found}, which is newer than this driftgate knows ({SCHEMA_HEAD}); "
            "install the driftgate that wrote it; nothing was changed"
        )

    def upgrade(self) -> None:
        """Bring the schema to the newest revision; raises SchemaMismatch if it is newer already."""
        found = self.schema_revision()
        if found == SCHEMA_HEAD:
            return
        if found is not None and found not in SCHEMA_REVISIONS:
            self.require_schema()
        from store.migrate import upgrade_to_head  # alembic is slow to import and seldom needed

        with _translated(self.url):
            upgrade_to_head(self._engine)

    def close(self) -> None:
        self._engine.dispose()


def open_database(settings: Settings) -> Database:
    """Open the store in force. The embedded default is created and migrated; another one must be at our schema.

    Raises StoreUnavailable, SchemaMismatch, BadInput.
    """
    with ExitStack() as undo:
        database = Database(settings.database)
        undo.callback(database.close)
        if settings.embedded:
            with _migrating(settings.home):
                database.upgrade()
        else:
            database.require_schema()
        undo.pop_all()
    return database


@contextmanager
def _migrating(home: Path) -> Iterator[None]:
    """One process at a time: three may start at the same moment. Makes the folder if there is none."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "migrate.lock").open("w")
    except OSError as error:
        raise StoreUnavailable(
            f"cannot write to DRIFTGATE_HOME {str(home)!r}: {error.strerror}; "
            "make the folder writable or name another one"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def insert_missing(session: Session, record: type[DeclarativeBase], *, key: str) -> Insert:
    """An INSERT that passes over rows whose unique `key` is there already."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(record).on_conflict_do_nothing(index_elements=[key])
    return sqlite.insert(record).on_conflict_do_nothing(index_elements=[key])


def _read_options(url: str) -> dict[str, str]:
    """On SQLite a transaction reads one state by itself; on PostgreSQL only from this level on."""
    return {"isolation_level": "REPEATABLE READ"} if make_url(url).get_backend_name() == "postgresql" else {}


def _make_engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn the driver's trouble with the database as a whole into StoreUnavailable; leave our own mistakes alone."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError) as error:  # Internal: PostgreSQL went read-only
        raise _unavailable(url, error) from error
    except PoolTimeout as error:
        shown = make_url(url).render_as_string()
        raise StoreUnavailable(f"store {shown}: every connection is in use; try again in a moment") from error
    except ProgrammingError as error:
        if "does not exist" not in str(error.orig):
            raise
        raise _unavailable(url, error) from error
    except DataError as error:
        cause = str(error.orig).strip().splitlines()[0]
        raise BadInput(f"a value that the store cannot hold: {cause}") from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # our own mistake, such as a broken constraint
            raise
        raise _unavailable(url, error) from error  # SQLite: the file is damaged, or is no database


def _unavailable(url: str, error: DBAPIError) -> StoreUnavailable:
    shown = make_url(url).render_as_string()
    cause = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
    if "readonly" in cause or "read-only" in cause:
        advice = "make the database file and its folder writable for this user"
    elif "no such table" in cause or "does not exist" in cause:
        advice = "run: driftgate db upgrade"
    else:
        advice = "check that it is reachable and that nothing else holds it"
    return StoreUnavailable(f"store {shown}: {cause}; {advice}")


def sqlite_path(url: str) -> Path | None:
    """The file behind a SQLite URL; None for any other database."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None

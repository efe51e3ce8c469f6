import sqlite3
import threading
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import column, delete, insert, select, table, text, update
from sqlalchemy.exc import DBAPIError

import store.database
from store.database import Database, open_database, sqlite_path
from store.errors import BadInput, SchemaMismatch, StoreUnavailable
from store.events import history, tell
from store.migrate import migration_config
from store.migrations import SCHEMA_HEAD, SCHEMA_REVISIONS
from store.predictions import NewPrediction, add_predictions, count_predictions
from store.records import AuditSample, Event, Prediction, Record, UtcDateTime
from store.settings import load_settings
from tests.store.conftest import NOW
from tests.store.rows import prediction
from tests.threads import all_at_once


def test_the_named_revisions_are_those_of_the_scripts():
    scripts = ScriptDirectory.from_config(migration_config())
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == SCHEMA_REVISIONS
    assert scripts.get_current_head() == SCHEMA_HEAD


def test_an_empty_database_is_upgraded_to_exactly_what_the_models_say(empty_settings):
    database = Database(empty_settings.database)
    assert database.schema_revision() is None
    database.upgrade()
    database.upgrade()  # once more changes nothing
    assert database.schema_revision() == SCHEMA_HEAD
    database.require_schema()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Record.metadata) == []
    database.close()


def test_the_audit_sample_of_before_learns_which_version_answered(empty_settings):
    database = Database(empty_settings.database)
    config = migration_config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        row = {name: getattr(prediction(1, version=3), name) for name in NewPrediction.__slots__ if name != "audit"}
        connection.execute(insert(Prediction).values(row))
        old = table("audit_samples", *map(column, ("prediction_id", "model", "inclusion")), column("at", UtcDateTime))
        for one in (row["id"], "tickets:3:gone"):
            connection.execute(insert(old).values(prediction_id=one, model="tickets", inclusion=0.5, at=NOW))
    database.upgrade()
    with database.read() as session:
        found = {one.prediction_id: (one.version, one.skipped_at) for one in session.scalars(select(AuditSample))}
    assert found == {row["id"]: (3, None), "tickets:3:gone": (0, None)}
    database.close()


def test_several_processes_may_upgrade_at_the_same_moment(empty_settings):
    databases = [Database(empty_settings.database) for _ in range(3)]
    outcomes = all_at_once([database.upgrade for database in databases])
    assert outcomes == [None] * 3
    assert databases[0].schema_revision() == SCHEMA_HEAD
    for database in databases:
        database.close()


def test_a_database_that_is_not_ours_to_migrate_must_be_upgraded_by_hand(empty_settings):
    with pytest.raises(SchemaMismatch, match=r"is at schema none.*run: driftgate db upgrade") as refused:
        open_database(empty_settings)
    assert "s3cret" not in str(refused.value)


def test_a_newer_schema_is_refused_and_left_alone(database, settings):
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for attempt in (database.require_schema, database.upgrade, lambda: open_database(settings)):
        with pytest.raises(SchemaMismatch, match="9999, which is newer than this driftgate knows"):
            attempt()
    assert database.schema_revision() == "9999"


@pytest.mark.parametrize("change", [update(Event).values(message="nicer"), delete(Event)])
def test_events_can_only_be_added(database, change):
    with database.write() as session:
        tell(session, "tickets", "promoted", "as it was", by="ann", now=NOW)
    with pytest.raises((DBAPIError, StoreUnavailable), match="events are append-only"), database.write() as session:
        session.execute(change)
    with database.read() as session:
        assert [event.message for event in history(session, "tickets")] == ["as it was"]


def test_a_failed_transaction_leaves_nothing(database):
    def fail_half_way() -> None:
        with database.write() as session:
            add_predictions(session, [prediction()])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with database.read() as session:
        assert count_predictions(session) == 0


def test_a_read_sees_one_state_while_others_write(database):
    with database.write() as session:
        add_predictions(session, [prediction(1)])
    with database.read() as reading:
        assert count_predictions(reading) == 1
        with database.write() as session:
            add_predictions(session, [prediction(2)])
        assert count_predictions(reading) == 1
    with database.read() as session:
        assert count_predictions(session) == 2


def test_writers_at_the_same_moment_wait_for_each_other(database):
    def write(writer: int) -> None:
        for i in range(5):
            with database.write() as session:
                before = count_predictions(session)
                add_predictions(session, [prediction(writer * 100 + i)])
                assert count_predictions(session) > before

    assert all_at_once([lambda w=w: write(w) for w in range(6)]) == [None] * 6
    with database.read() as session:
        assert count_predictions(session) == 30


def test_rows_that_are_there_already_are_passed_over(database):
    """A writer that lost its connection in the middle of a commit writes the same rows again."""
    with database.write() as session:
        add_predictions(session, [prediction(1, audit=0.5)])
    with database.write() as session:
        add_predictions(session, [prediction(1, audit=0.5), prediction(2)])
    with database.read() as session:
        assert count_predictions(session) == 2


def test_an_instant_keeps_its_microseconds_and_comes_back_in_utc(database):
    moment = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    with database.write() as session:
        add_predictions(session, [prediction(at=moment)])
    with database.read() as session:
        found = session.scalars(select(Prediction)).one().at
    assert found == moment
    assert found.utcoffset() == timedelta(0)


def test_a_naive_instant_is_refused(database):
    with pytest.raises(Exception, match="naive datetime"), database.write() as session:
        add_predictions(session, [prediction(at=datetime(2026, 1, 1))])


def test_what_a_column_cannot_hold_is_bad_input_and_no_outage(database, kind):
    if kind == "sqlite":
        pytest.skip("SQLite holds a NUL and numbers of any size up to 64 bits")
    with pytest.raises(BadInput, match="NUL"), database.write() as session:
        add_predictions(session, [prediction(input="a\x00b")])
    with pytest.raises(BadInput, match="out of range"), database.write() as session:
        add_predictions(session, [prediction(version=2**40)])


def test_text_of_all_kinds_comes_back_as_it_was(database):
    strange = "naïve 日本語 🦜 \u202e'; DROP TABLE events; --\n\t\x07"
    with database.write() as session:
        add_predictions(session, [prediction(input=strange, tags={strange: strange})])
    with database.read() as session:
        row = session.scalars(select(Prediction)).one()
    assert (row.input, row.tags) == (strange, {strange: strange})


def test_a_lost_server_is_an_outage_and_the_pool_recovers_from_it(running_postgres):
    settings = load_settings(database_url=running_postgres.create(uuid.uuid4().hex, template="migrated"))
    database = open_database(settings)
    running_postgres.stop()
    try:
        with pytest.raises(StoreUnavailable, match="check that it is reachable") as down, database.read() as session:
            count_predictions(session)
        assert "s3cret" not in str(down.value)
    finally:
        running_postgres.start()
    with database.write() as session:
        add_predictions(session, [prediction()])
    database.close()


def test_a_connection_that_dies_in_a_transaction_is_an_outage(running_postgres):
    settings = load_settings(database_url=running_postgres.create(uuid.uuid4().hex, template="migrated"))
    database = open_database(settings)
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def be_killed() -> None:
        with database.write() as session:
            add_predictions(session, [prediction()])
            with database.read() as killer:
                killer.execute(text(others))

    with pytest.raises(StoreUnavailable):
        be_killed()
    with database.read() as session:
        assert count_predictions(session) == 0
    database.close()


def test_a_store_that_became_read_only_is_an_outage_that_says_so(running_postgres):
    name = uuid.uuid4().hex
    settings = load_settings(database_url=running_postgres.create(name, template="migrated"))
    database = open_database(settings)
    with database.write() as session:
        session.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    database.close()  # the next connection knows
    with pytest.raises(StoreUnavailable, match="make the database file and its folder writable"):  # noqa: SIM117
        with database.write() as session:
            add_predictions(session, [prediction()])
    with database.read() as session:
        assert count_predictions(session) == 0
    database.close()


def test_a_pool_without_a_free_connection_is_an_outage(running_postgres, monkeypatch):
    settings = load_settings(database_url=running_postgres.create(uuid.uuid4().hex, template="migrated"))
    database = open_database(settings)
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.01)  # else this test would wait for half a minute
    held = [database.engine.connect() for _ in range(15)]
    with pytest.raises(StoreUnavailable, match="every connection is in use"), database.read() as session:
        count_predictions(session)
    for connection in held:
        connection.close()
    database.close()


def test_a_locked_file_is_an_outage_after_its_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr(store.database, "BUSY_TIMEOUT_S", 0.05)  # else this test would wait for half a minute
    database = open_database(load_settings(home=tmp_path))
    with sqlite3.connect(sqlite_path(database.url) or "", isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="nothing else holds it"), database.write() as session:
            add_predictions(session, [prediction()])
        with database.read() as session:  # readers go on
            assert count_predictions(session) == 0
        holder.execute("ROLLBACK")
    holder.close()
    database.close()


def test_a_file_that_is_no_database_is_an_outage(tmp_path):
    (tmp_path / "driftgate.db").write_bytes(b"not a database, " * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_database(load_settings(home=tmp_path))


def test_a_damaged_file_is_an_outage(tmp_path):
    database = open_database(load_settings(home=tmp_path))
    with database.write() as session:
        add_predictions(session, [prediction(i) for i in range(200)])
    database.close()
    path = sqlite_path(database.url)
    assert path is not None
    damaged = bytearray(path.read_bytes())
    damaged[8192:] = b"\xff" * (len(damaged) - 8192)
    path.write_bytes(damaged)
    with pytest.raises(StoreUnavailable), database.read() as session:
        session.scalars(select(Prediction)).all()
    database.close()


def test_a_home_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable, match="cannot write to DRIFTGATE_HOME"):
        open_database(load_settings(home=tmp_path / "home"))


def test_a_read_only_file_is_an_outage_that_says_so(tmp_path):
    database = open_database(load_settings(home=tmp_path))
    database.close()
    # Root may write to any file, so the file is opened read-only instead of being protected.
    reading = Database(f"sqlite:///file:{tmp_path}/driftgate.db?mode=ro&uri=true")
    with pytest.raises(StoreUnavailable, match="make the database file and its folder writable"):  # noqa: SIM117
        with reading.write() as session:
            add_predictions(session, [prediction()])
    reading.close()


def test_the_embedded_store_may_be_opened_by_three_processes_at_once(tmp_path):
    settings = load_settings(home=tmp_path / "new")
    opened: list[Database] = []
    lock = threading.Lock()

    def open_() -> None:
        database = open_database(settings)
        with lock:
            opened.append(database)

    assert all_at_once([open_] * 3) == [None] * 3
    for database in opened:
        database.require_schema()
        database.close()


def test_a_write_shows_in_the_state_of_the_file(tmp_path):
    database = open_database(load_settings(home=tmp_path))
    before = database.file_state()
    assert before == database.file_state()
    with database.write() as session:
        session.execute(text("CREATE TABLE seen (x INTEGER)"))
    assert database.file_state() != before
    database.close()


def test_other_databases_have_no_file_to_look_at():
    assert Database("postgresql+psycopg://nobody@127.0.0.1:9/nothing").file_state() is None

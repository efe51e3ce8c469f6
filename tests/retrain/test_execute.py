"""Runs that meet trouble which is not their own, and those that are refused before they cost anything."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain.dataset import Row
from retrain.execute import execute_run
from retrain.holding import Worker
from retrain.snapshot import build_snapshot, store_snapshot
from store.artifacts import open_artifacts
from store.clock import utc_now
from store.database import Database, open_database
from store.errors import Refused, StoreUnavailable
from store.records import Run
from store.runs import NewRun, claim_next_run, enqueue_run, get_run
from store.settings import Settings, load_settings
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase
from tests.e2e.plain_letters import plain_letters


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def database(settings: Settings, tiny: ImportedBase) -> Iterator[Database]:
    opened = open_database(settings)
    add_imported_base(opened, settings.home, tiny)
    yield opened
    opened.close()


def ask(settings: Settings, database: Database, rows: list[Row], **parameters: Any) -> None:
    content = build_snapshot(rows, [], seed=1)
    snapshot = store_snapshot(
        database, open_artifacts(settings), content, model="letters", parent=None, feedback_until=0, now=utc_now()
    )
    asked = {"snapshot": snapshot, "requires_improvement": False, **parameters}
    with database.write() as session:
        enqueue_run(session, NewRun("letters", "tiny", "a test", "head", asked), by="test", now=utc_now())


def claim(database: Database, owner: str, *, later: timedelta = timedelta()) -> Run:
    with database.write() as session:
        run = claim_next_run(session, owner=owner, lease_s=30.0, max_attempts=5, now=utc_now() + later)
    assert run is not None
    return run


def worker(settings: Settings, database: Database, owner: str) -> Worker:
    return Worker(settings, database, open_artifacts(settings), utc_now, owner)


def test_a_store_that_falls_silent_interrupts_a_run_and_does_not_end_it(settings: Settings, database: Database) -> None:
    """The callback stands for any write that meets the outage: a real one cannot be timed between two statements."""
    ask(settings, database, [Row(text, label) for text, label in plain_letters(200, seed=5)])

    def fall_silent(stage: str, share: float) -> None:
        if stage == "gate":
            raise StoreUnavailable("the connection was lost")

    run = claim(database, "one")
    with pytest.raises(StoreUnavailable):
        execute_run(worker(settings, database, "one"), run, fall_silent)
    with database.read() as session:
        assert get_run(session, run.id).status == "running"
    assert list((settings.home / "work" / run.id).glob("*/trained")), "what was trained is kept"

    outcome = execute_run(
        worker(settings, database, "two"), claim(database, "two", later=timedelta(minutes=1)), lambda *_: None
    )
    assert (outcome["run"], outcome["version"]) == (run.id, 1)


def test_more_labels_than_the_base_has_room_for_are_refused_before_the_training(
    settings: Settings, database: Database, tiny: ImportedBase
) -> None:
    room = tiny.spec.max_labels
    ask(settings, database, [Row(f"{n} of {label}", f"{label}") for label in range(room + 1) for n in range(8)])
    with pytest.raises(Refused, match=f"^{room + 1} labels do not fit base 'tiny', which was exported for {room}; "):
        execute_run(worker(settings, database, "one"), claim(database, "one"), lambda *_: None)

import os

import pytest

from retrain.work_folder import clear_work_folder, sweep_work_folders, take_work_folder
from store.bases import add_base
from store.clock import utc_now
from store.runs import NewRun, claim_next_run, enqueue_run, finish_run
from tests.store.rows import base


def leave(folder, name="checkpoint", *, age_s=0):
    (folder / name).write_text("kept")
    os.utime(folder, (1_700_000_000 - age_s,) * 2)


def test_who_takes_a_run_over_finds_what_was_left_under_a_name_of_its_own(tmp_path):
    first = take_work_folder(tmp_path, "run", "host:1:a")
    leave(first)
    second = take_work_folder(tmp_path, "run", "host:2:b")
    assert (second / "checkpoint").read_text() == "kept"
    assert not first.exists()


def test_a_worker_that_wakes_up_late_writes_to_nobody(tmp_path):
    late = take_work_folder(tmp_path, "run", "host:1:a")
    with (late / "half").open("w") as half:
        other = take_work_folder(tmp_path, "run", "host:2:b")
        half.write("what was being written goes on into a file that moved")
    with pytest.raises(FileNotFoundError):
        (late / "next").write_text("x")
    assert {path.name for path in other.iterdir()} == {"half"}


def test_a_worker_keeps_its_folder_and_strays_go(tmp_path):
    own = take_work_folder(tmp_path, "run", "host:1:a")
    leave(own)
    stray = own.with_name("stray")
    stray.mkdir()
    assert take_work_folder(tmp_path, "run", "host:1:a") == own
    assert (own / "checkpoint").exists()
    assert not stray.exists()


def test_of_several_folders_the_newest_is_taken(tmp_path):
    shared = tmp_path / "work" / "run"
    for name, age_s in (("old", 100), ("new", 0)):
        (shared / name).mkdir(parents=True)
        leave(shared / name, name, age_s=age_s)
    taken = take_work_folder(tmp_path, "run", "me")
    assert {path.name for path in taken.iterdir()} == {"new"}
    assert {path.name for path in shared.iterdir()} == {"me"}


def test_folders_of_ended_runs_are_swept_and_no_other(tmp_path, database):
    with database.write() as session:
        add_base(session, base())
    runs = []
    for model in ("ended", "open"):
        with database.write() as session:
            run = enqueue_run(session, NewRun(model, "minilm", "a test", "lora", {}), by="t", now=utc_now())
            claim_next_run(session, owner="w", lease_s=60, max_attempts=3, now=utc_now(), run_id=run.id)
            runs.append(run.id)
        take_work_folder(tmp_path, run.id, "w")
    (tmp_path / "work" / "again-elsewhere").mkdir()
    with database.write() as session:
        finish_run(session, runs[0], owner="w", status="failed", reason="a test", now=utc_now())
    sweep_work_folders(tmp_path, database)
    assert {path.name for path in (tmp_path / "work").iterdir()} == {runs[1], "again-elsewhere"}
    clear_work_folder(tmp_path, "never-there")
    sweep_work_folders(tmp_path / "nowhere", database)

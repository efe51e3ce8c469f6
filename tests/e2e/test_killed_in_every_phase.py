"""kill -9 at each step of a run: another worker ends it, and at no moment is there half of a version.

Slow: for each point a worker process that imports torch, and two short trainings of the two-layer base. The worker
stands still at the point, so the kill meets exactly it; who carries the run on is an ordinary worker, whose clock is
ahead by more than a lease.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from retrain.dataset import Row
from retrain.snapshot import build_snapshot, store_snapshot
from retrain.worker import run_worker
from store.artifacts import open_artifacts
from store.clock import utc_now
from store.database import Database, open_database
from store.events import history
from store.records import Run, Version
from store.runs import NewRun, enqueue_run, get_run, list_rollouts
from store.settings import Settings, load_settings
from store.versions import get_adapter, get_deployment, list_versions
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase
from tests.e2e.plain_letters import plain_letters
from tests.e2e.processes import TOP, processes, wait_for

pytestmark = pytest.mark.slow

MODEL = "letters"
LEASE_S = 3.0
PATIENCE_S = 300.0

POINTS = {
    "claimed": "retrain.execute:execute_run:before",
    "before its snapshot": "retrain.execute:load_snapshot:before",
    "before it trains": "retrain.execute:train_on_rows:before",
    "training, no checkpoint yet": "retrain.execute:add_metrics:after:1",
    "while the first checkpoint is written": "retrain.fitting:_SealCheckpoints.on_save:before:1",
    "between two checkpoints": "retrain.fitting:_SealCheckpoints.on_save:after:1",
    "while the second checkpoint is written": "retrain.fitting:_SealCheckpoints.on_save:before:2",
    "while the adapter is written": "retrain.trained:_order_config:before",
    "the adapter is written": "retrain.execute:train_on_rows:after",
    "evaluation": "retrain.execute:evaluate:before",
    "evaluated": "retrain.execute:evaluate:after",
    "gate": "retrain.execute:judge_candidate:after",
    "while the adapter is stored": "store.artifacts:_sync:before:2",
    "the version is written and not committed": "retrain.execute:register_version:after",
    "just before the commit": "retrain.execute:finish_run:after",
    "just after the commit": "retrain.execute:_conclude:after",
}
COMMITTED = {"just after the commit"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", run_lease_s=LEASE_S, worker_port=0)


@pytest.fixture
def opened(settings: Settings, tiny: ImportedBase) -> Iterator[Database]:
    database = open_database(settings)
    add_imported_base(database, settings.home, tiny)
    yield database
    database.close()


@pytest.fixture
def halted(settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a worker and returns it as soon as it stands still at a point."""
    started: list[subprocess.Popen[bytes]] = []

    def start(point: str) -> subprocess.Popen[bytes]:
        mark, log = tmp_path / f"mark-{len(started)}", tmp_path / f"worker-{len(started)}.log"
        command = [sys.executable, "-m", "tests.e2e.halting_worker", str(settings.home), str(mark), point]
        short = {"DRIFTGATE_RUN_LEASE_S": str(LEASE_S), "DRIFTGATE_WORKER_POLL_S": "0.1"}
        with log.open("wb") as file:
            worker = subprocess.Popen(command, cwd=TOP, env={**os.environ, **short}, stdout=file, stderr=file)
        started.append(worker)

        def stands() -> bool:
            assert worker.poll() is None, f"it ended before it came to {point}:\n{log.read_text()[-3000:]}"
            return mark.exists()

        wait_for(stands, f"the worker at {point}", seconds=PATIENCE_S)
        return worker

    yield start
    for worker in started:
        worker.kill()
        worker.wait(30)


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_in_any_phase_ends_by_itself_and_never_leaves_half_a_version(
    point: str, settings: Settings, opened: Database, halted: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    run_id = ask_for_run(settings, opened)
    worker = halted(POINTS[point])
    worker.kill()
    worker.wait(30)
    assert_no_half_version(settings, opened, run_id, committed=point in COMMITTED)
    if point not in COMMITTED:
        assert get_status(opened, run_id) == "running", "nobody ended it yet"

    carry_on(settings)

    run, versions = ended_run(opened, run_id), versions_of(opened)
    assert run.status == "succeeded", run.reason
    assert [version.number for version in versions] == [1], "exactly one version came of it"
    assert run.version == 1
    assert_no_half_version(settings, opened, run_id, committed=True)
    with opened.read() as session:
        deployment, rollouts = get_deployment(session, MODEL), list_rollouts(session, MODEL)
        kinds = [event.kind for event in history(session, MODEL, limit=1000)]
    assert deployment.production == 1
    assert [rollout.outcome for rollout in rollouts] == ["promoted"]
    assert kinds.count("run_succeeded") == kinds.count("promoted") == kinds.count("run_started") == 1
    assert kinds.count("run_resumed") == (0 if point in COMMITTED else 1)
    assert not (settings.home / "work" / run_id).exists(), "its work folder is gone, too"


def test_a_killed_training_goes_on_to_the_very_bytes_that_it_would_have_made(
    settings: Settings, opened: Database, halted: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    killed = ask_for_run(settings, opened)
    worker = halted(POINTS["while the second checkpoint is written"])
    worker.kill()
    worker.wait(30)
    carry_on(settings)
    whole = ask_for_run(settings, opened, model="whole")
    carry_on(settings)
    assert adapter_of(opened, killed) == adapter_of(opened, whole)


def test_a_worker_that_slept_through_its_lease_lets_go_and_disturbs_nobody(
    settings: Settings, opened: Database, tmp_path: Path
) -> None:
    """SIGSTOP in the middle of a training, while another worker takes the run over and ends it."""
    run_id = ask_for_run(settings, opened, epochs=40)
    short = {"DRIFTGATE_RUN_LEASE_S": str(LEASE_S), "DRIFTGATE_WORKER_POLL_S": "0.1"}
    with processes(settings.home, tmp_path / "logs", **short) as group:
        asleep = group.start("worker")
        wait_for(lambda: whole_checkpoints(settings, run_id), "a checkpoint", seconds=PATIENCE_S, every_s=0.01)
        asleep.process.send_signal(signal.SIGSTOP)
        carry_on(settings)
        run, adapter = ended_run(opened, run_id), adapter_of(opened, run_id)
        asleep.process.send_signal(signal.SIGCONT)
        asleep.logged("lease_lost", seconds=PATIENCE_S)
        assert asleep.stop() == 0, asleep.tail()
        assert "Traceback" not in asleep.tail()
    assert run.status == "succeeded", run.reason
    assert [version.number for version in versions_of(opened)] == [1]
    assert adapter_of(opened, run_id) == adapter
    assert_no_half_version(settings, opened, run_id, committed=True)


def test_two_workers_never_train_the_same_run(settings: Settings, opened: Database, tmp_path: Path) -> None:
    """First one run for both, then more runs than workers, asked for while both are looking."""
    quick = {"DRIFTGATE_RUN_LEASE_S": "30", "DRIFTGATE_WORKER_POLL_S": "0.05"}
    with processes(settings.home, tmp_path / "logs", **quick) as group:
        workers = [group.start("worker") for _ in range(2)]
        for worker in workers:
            worker.logged("metrics_served", seconds=PATIENCE_S)
        runs = [ask_for_run(settings, opened, model="one", epochs=1)]
        wait_for(lambda: all_ended(opened, runs), "the run to end", seconds=PATIENCE_S)
        runs += [ask_for_run(settings, opened, model=f"m{i}", epochs=1) for i in range(6)]
        wait_for(lambda: all_ended(opened, runs), "the runs to end", seconds=PATIENCE_S)
        claims = [worker.every("run_claimed", "run") for worker in workers]
        assert [worker.stop() for worker in workers] == [0, 0]
    assert sorted([*claims[0], *claims[1]]) == sorted(runs), "each run was claimed once, by one of them"
    assert all(claims), "both took their part"
    with opened.read() as session:
        told = [event.kind for model in ("one", *(f"m{i}" for i in range(6))) for event in history(session, model)]
    assert told.count("run_started") == len(runs)
    assert "run_resumed" not in told


def ask_for_run(settings: Settings, database: Database, *, model: str = MODEL, epochs: int = 8) -> str:
    rows = [Row(text=text, label=label) for text, label in plain_letters(600, seed=3)]
    content = build_snapshot(rows, [], seed=11)
    snapshot = store_snapshot(
        database, open_artifacts(settings), content, model=model, parent=None, feedback_until=0, now=utc_now()
    )
    parameters: dict[str, Any] = {"snapshot": snapshot, "seed": 11, "epochs": epochs, "requires_improvement": False}
    with database.write() as session:
        return enqueue_run(session, NewRun(model, "tiny", "a test", "lora", parameters), by="test", now=utc_now()).id


def carry_on(settings: Settings) -> None:
    """What a worker does that comes when every lease of before has run out."""
    run_worker(settings, once=True, stop=threading.Event(), clock=lambda: utc_now() + timedelta(hours=1))


def assert_no_half_version(settings: Settings, database: Database, run_id: str, *, committed: bool) -> None:
    """Each version that there is has an ended run, and artifacts that verify."""
    artifacts = open_artifacts(settings)
    with database.read() as session:
        run = get_run(session, run_id)
        for version in versions_of(database):
            assert run.ended_at is not None
            assert run.evaluation
            artifacts.fetch(get_adapter(session, version).artifact)
            assert version.reference is not None
            artifacts.fetch(version.reference)
    assert bool(versions_of(database)) == committed


def versions_of(database: Database) -> list[Version]:
    with database.read() as session:  # before there is a version there is no model that could be asked
        return list(session.scalars(select(Version).where(Version.model == MODEL)))


def ended_run(database: Database, run_id: str) -> Run:
    with database.read() as session:
        run = get_run(session, run_id)
    assert run.ended_at is not None, f"{run.status} in stage {run.stage}"
    return run


def all_ended(database: Database, runs: list[str]) -> bool:
    with database.read() as session:
        return all(get_run(session, run).ended_at is not None for run in runs)


def get_status(database: Database, run_id: str) -> str:
    with database.read() as session:
        return get_run(session, run_id).status


def adapter_of(database: Database, run_id: str) -> str:
    """Its artifact, which is named by its bytes."""
    run = ended_run(database, run_id)
    with database.read() as session:
        version = next(v for v in list_versions(session, run.model) if v.run == run_id)
        return get_adapter(session, version).artifact


def whole_checkpoints(settings: Settings, run_id: str) -> list[Path]:
    return list((settings.home / "work" / run_id).glob("*/checkpoints/*/checkpoint-*/complete.json"))

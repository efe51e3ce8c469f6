"""A worker that is killed in the middle of a training: another one goes on from the last whole checkpoint.

Slow: three real trainings, each in a process of its own that imports torch.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from retrain.dataset import Row
from retrain.snapshot import build_snapshot, store_snapshot
from store.artifacts import open_artifacts
from store.clock import utc_now
from store.database import Database, open_database
from store.events import history
from store.records import Run, RunMetric
from store.runs import NewRun, enqueue_run, get_run, run_metrics
from store.settings import Settings, load_settings
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase
from tests.e2e.plain_letters import plain_letters
from tests.e2e.processes import Processes, processes, wait_for

pytestmark = pytest.mark.slow

EPOCHS = 8
SEED = 11


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def opened(settings: Settings, tiny: ImportedBase) -> Iterator[Database]:
    database = open_database(settings)
    add_imported_base(database, settings.home, tiny)
    yield database
    database.close()


@pytest.fixture
def group(tmp_path: Path, opened: Database) -> Iterator[Processes]:
    short = {"DRIFTGATE_RUN_LEASE_S": "2", "DRIFTGATE_WORKER_POLL_S": "0.1"}
    with processes(tmp_path / "home", tmp_path / "logs", **short) as started:
        yield started


def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(
    settings: Settings, opened: Database, group: Processes
) -> None:
    whole = _carry_out(group, opened, _ask_for_run(settings, opened, "whole"))
    run_id = _ask_for_run(settings, opened, "killed")
    step = _kill_after_first_checkpoint(settings, group, run_id)
    _forget_metrics(opened, run_id)
    killed = _carry_out(group, opened, run_id)

    trained = [metric.step for metric in _metrics(opened, run_id)]
    print(
        f"killed after the checkpoint of step {step}; trained again from step {min(trained)} to {max(trained)}; "
        f"accuracy {killed.evaluation['accuracy']:.4f}, without a kill {whole.evaluation['accuracy']:.4f}"
    )
    assert min(trained) > step, "it trained again what its checkpoint held already"
    assert "run_resumed" in _story(opened, "killed")
    assert "run_resumed" not in _story(opened, "whole")
    assert killed.status == whole.status == "succeeded", (killed.reason, whole.reason)
    assert killed.evaluation["accuracy"] == pytest.approx(whole.evaluation["accuracy"], abs=0.03)
    assert not (settings.home / "work" / run_id).exists()


def test_a_worker_that_is_told_to_stop_hands_its_run_back(
    settings: Settings, opened: Database, group: Processes
) -> None:
    run_id = _ask_for_run(settings, opened, "stopped")
    worker = group.start("worker", DRIFTGATE_RUN_LEASE_S="3600")
    wait_for(lambda: _checkpoints(settings, run_id), "a checkpoint", seconds=120, every_s=0.01)
    assert worker.stop() == 0, worker.tail()
    assert "run_handed_back" in worker.tail()
    run = _carry_out(group, opened, run_id)  # at once: an hour's lease would outlast the test
    assert run.status == "succeeded", run.reason


def test_a_half_written_checkpoint_is_passed_over(settings: Settings, opened: Database, group: Processes) -> None:
    run_id = _ask_for_run(settings, opened, "killed")
    step = _kill_after_first_checkpoint(settings, group, run_id)
    whole = _checkpoints(settings, run_id)[-1]
    half = whole.with_name("checkpoint-100000")
    half.mkdir()
    weights = (whole / "adapter_model.safetensors").read_bytes()
    (half / "adapter_model.safetensors").write_bytes(weights[: len(weights) // 2])  # killed while it was written
    _forget_metrics(opened, run_id)
    run = _carry_out(group, opened, run_id)
    assert run.status == "succeeded", run.reason
    assert min(metric.step for metric in _metrics(opened, run_id)) > step


def test_a_run_that_ends_its_worker_each_time_is_given_up(
    settings: Settings, opened: Database, group: Processes
) -> None:
    run_id = _ask_for_run(settings, opened, "poison")

    def training() -> bool:
        with opened.read() as session:
            return get_run(session, run_id).stage == "training"

    for _ in range(2):
        worker = group.start("worker", DRIFTGATE_RUN_MAX_ATTEMPTS="2")
        worker.logged("run_claimed")
        wait_for(training, "the training")
        worker.kill()
    worker = group.start("worker", DRIFTGATE_RUN_MAX_ATTEMPTS="2")
    run = wait_for(lambda: _ended(opened, run_id), "the end of the run")
    worker.stop()
    assert (run.status, run.reason) == ("failed", "started 2 times without progress in 'training'")


def _ask_for_run(settings: Settings, database: Database, model: str) -> str:
    rows = [Row(text=text, label=label) for text, label in plain_letters(600, seed=3)]
    artifacts = open_artifacts(settings)
    content = build_snapshot(rows, [], seed=SEED)
    snapshot = store_snapshot(database, artifacts, content, model=model, parent=None, feedback_until=0, now=utc_now())
    parameters: dict[str, Any] = {"snapshot": snapshot, "seed": SEED, "epochs": EPOCHS, "requires_improvement": False}
    with database.write() as session:
        return enqueue_run(session, NewRun(model, "tiny", "a test", "lora", parameters), by="test", now=utc_now()).id


def _carry_out(group: Processes, database: Database, run_id: str) -> Run:
    worker = group.start("worker")

    def ended() -> Run | None:
        assert worker.process.poll() is None, f"the worker ended:\n{worker.tail()}"
        return _ended(database, run_id)

    run = wait_for(ended, f"the end of run {run_id}", seconds=240)
    assert worker.stop() == 0, worker.tail()
    return run


def _ended(database: Database, run_id: str) -> Run | None:
    with database.read() as session:
        run = get_run(session, run_id)
    return run if run.ended_at is not None else None


def _kill_after_first_checkpoint(settings: Settings, group: Processes, run_id: str) -> int:
    """Returns the step of the newest checkpoint that the killed worker left."""
    worker = group.start("worker")

    def look() -> list[Path]:
        assert worker.process.poll() is None, f"the worker ended:\n{worker.tail()}"
        return _checkpoints(settings, run_id)

    wait_for(look, "a checkpoint", seconds=120, every_s=0.01)
    worker.kill()
    return int(_checkpoints(settings, run_id)[-1].name.rpartition("-")[2])


def _checkpoints(settings: Settings, run_id: str) -> list[Path]:
    """Those whose last file was written, oldest first."""
    found = (settings.home / "work" / run_id).glob("*/checkpoints/*/checkpoint-*/complete.json")
    return sorted((path.parent for path in found), key=lambda path: int(path.name.rpartition("-")[2]))


def _forget_metrics(database: Database, run_id: str) -> None:
    """So that every figure that is there in the end is of a step that was trained after the kill."""
    with database.write() as session:
        session.execute(delete(RunMetric).where(RunMetric.run == run_id))


def _metrics(database: Database, run_id: str) -> list[RunMetric]:
    with database.read() as session:
        return run_metrics(session, run_id)


def _story(database: Database, model: str) -> list[str]:
    with database.read() as session:
        return [event.kind for event in history(session, model, limit=1000)]

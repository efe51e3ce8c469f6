"""Runs shown in MLflow: by a real server where it matters what it makes of them, by broken ones where none answers."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from retrain import mirror
from retrain.dataset import Row
from retrain.mirror import EXPERIMENTS, TAG, Mirror, catch_up, mirrored
from retrain.mlflow_api import MlflowApi, MlflowUnavailable
from retrain.snapshot import build_snapshot, store_snapshot
from retrain.worker import run_worker
from store.artifacts import open_artifacts
from store.bases import add_base
from store.clock import utc_now
from store.database import Database, open_database
from store.errors import BadInput
from store.records import Run
from store.runs import NewRun, add_metrics, claim_next_run, enqueue_run, finish_run, get_run, report_progress
from store.settings import load_settings
from tests.cli.stock import add_imported_base
from tests.e2e.plain_letters import plain_letters
from tests.e2e.processes import TOP, wait_for
from tests.ports import free_port
from tests.store.rows import base

ENVIRONMENT = {"plan": {"rank": 8, "seed": 3, "targets": ["query", "value"]}, "git": {"revision": "c" * 40}}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(load_settings(home=tmp_path / "home"))
    with opened.write() as session:
        add_base(session, base())
    yield opened
    opened.close()


def begin(database: Database, model: str = "tickets", *, steps: int = 3) -> str:
    """A run in its training, with figures of `steps` steps."""
    with database.write() as session:
        run = enqueue_run(session, NewRun(model, "minilm", "drift", "lora", {"seed": 3}), by="ann", now=utc_now())
        claim_next_run(session, owner="w", lease_s=60, max_attempts=3, now=utc_now(), run_id=run.id)
        values = {"environment": ENVIRONMENT}
        report_progress(session, run.id, owner="w", stage="training", progress=0.4, values=values)
        for step in range(1, steps + 1):
            add_metrics(session, run.id, step, {"loss": 1 / step, "eval_accuracy": 1 - 1 / step})
    return run.id


def end(database: Database, run_id: str, status: str = "succeeded") -> None:
    with database.write() as session:
        get_run(session, run_id).evaluation = {"accuracy": 0.875, "gate": {}}
        finish_run(session, run_id, owner="w", status=status, reason="accuracy 0.8 -> 0.875", now=utc_now())


# A server that is none


def test_without_a_server_nothing_of_it_is_imported() -> None:
    code = "import sys, retrain.worker; sys.exit(any(name in sys.modules for name in ('httpx', 'retrain.mirror')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=TOP, check=False).returncode == 0


def test_a_server_that_is_not_there_is_told_of_once_and_counted_and_never_reaches_the_run(database: Database) -> None:
    run_id, failures = begin(database), []
    with (
        capture_logs() as logs,
        mirrored(f"http://127.0.0.1:{free_port()}", database, run_id, lambda: failures.append(1)),
    ):
        pass
    assert failures
    assert [entry["event"] for entry in logs] == ["mlflow_not_told"]


def test_a_server_that_never_answers_holds_a_run_up_no_longer_than_the_last_word(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LAST_WORD_S", 0.2)
    run_id, failures = begin(database), []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with mirrored(f"http://127.0.0.1:{silent.getsockname()[1]}", database, run_id, lambda: failures.append(1)):
            held, _ = silent.accept()
        waiting = [thread for thread in threading.enumerate() if thread.name == "mlflow"]
        assert waiting, "it was left behind, not waited for"
        held.close()
    for thread in waiting:
        thread.join(60)
    assert failures


def test_an_error_of_the_run_itself_passes_through(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), mirrored("http://127.0.0.1:1", database, begin(database), lambda: None):
        raise ZeroDivisionError


def test_an_address_that_is_no_server_is_refused_without_its_password() -> None:
    with pytest.raises(BadInput, match="DRIFTGATE_MLFLOW_URI: is no server of MLflow") as refused:
        load_settings(mlflow_uri="databricks://ann:secret@place")
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(load_settings(mlflow_uri="http://ann:secret@place:5000"))


# A real one


@pytest.fixture(scope="module")
def mlflow_python() -> Path:
    """An interpreter with MLflow, which needs an older pandas than ours: in an environment of its own."""
    folder = TOP / ".mlflow-venv"
    python = folder / "bin" / "python"
    if not (folder / "bin" / "mlflow").exists():
        steps = (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "mlflow>=3.17,<4"],
        )
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False, timeout=1800)
            if done.returncode:
                pytest.skip(f"MLflow cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    return python


@pytest.fixture(scope="module")
def server(mlflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [
        str(mlflow_python),
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--default-artifact-root",
        str(folder / "artifacts"),
    ]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=kept, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        try:
            return httpx.get(f"{url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(healthy, "MLflow", seconds=300, every_s=0.5)
        yield url
    finally:
        os.killpg(process.pid, 9)  # it keeps nothing that anybody wants
        process.wait(60)


def seen(server: str, run_id: str, model: str = "tickets") -> list[Any]:
    with MlflowApi(server) as api:
        return api.find_runs([api.experiment(EXPERIMENTS + model)], f"tags.`{TAG}` = '{run_id}'")


def metric_history(server: str, run: str, key: str) -> list[tuple[int, float]]:
    asked = {"run_id": run, "metric_key": key, "max_results": 1000}
    told = httpx.get(f"{server}/api/2.0/mlflow/metrics/get-history", params=asked, timeout=30).json()["metrics"]
    return [(int(metric.get("step", 0)), float(metric["value"])) for metric in told]


def tags(run: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


@pytest.mark.slow
def test_a_run_is_shown_with_parameters_curves_tags_and_outcome(server: str, database: Database) -> None:
    run_id = begin(database)
    with MlflowApi(server) as api:
        shown = Mirror(api, database, run_id)
        shown.tell()
        (run,) = seen(server, run_id)
        assert run["info"]["status"] == "RUNNING"
        with database.write() as session:
            add_metrics(session, run_id, 4, {"loss": 0.25})
        end(database, run_id)
        shown.tell()
    (run,) = seen(server, run_id)
    with database.read() as session:
        ours: Run = get_run(session, run_id)
    assert run["info"]["status"] == "FINISHED"
    assert ours.started_at is not None
    assert ours.ended_at is not None
    assert int(run["info"]["start_time"]) == int(ours.started_at.timestamp() * 1000)
    assert int(run["info"]["end_time"]) == int(ours.ended_at.timestamp() * 1000)
    parameters = {pair["key"]: pair["value"] for pair in run["data"]["params"]}
    assert parameters == {"seed": "3", "rank": "8", "targets": "['query', 'value']"}
    assert metric_history(server, run["info"]["run_id"], "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert metric_history(server, run["info"]["run_id"], "evaluation.accuracy") == [(4, 0.875)]
    told = tags(run)
    assert told["driftgate.outcome"] == "succeeded"
    assert told["driftgate.reason"] == "accuracy 0.8 -> 0.875"
    assert told["mlflow.source.git.commit"] == "c" * 40


@pytest.mark.slow
def test_a_run_that_goes_on_after_a_kill_is_the_same_run_there_and_nothing_is_told_twice(
    server: str, database: Database
) -> None:
    run_id = begin(database, steps=5)
    for _ in range(3):  # each time as a new process, which does not know what was told
        with MlflowApi(server) as api:
            Mirror(api, database, run_id).tell()
    (run,) = seen(server, run_id)
    assert [step for step, _ in metric_history(server, run["info"]["run_id"], "loss")] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_the_end_that_a_killed_worker_did_not_tell_is_told_by_the_next(server: str, database: Database) -> None:
    ended, still_open = begin(database, "ended"), begin(database, "open")
    with MlflowApi(server) as api:
        for run_id in (ended, still_open):
            Mirror(api, database, run_id).tell()
    end(database, ended, "failed")
    catch_up(server, database)
    assert seen(server, ended, "ended")[0]["info"]["status"] == "FAILED"
    assert seen(server, still_open, "open")[0]["info"]["status"] == "RUNNING"


@pytest.mark.slow
def test_more_figures_than_fit_into_one_request_all_arrive(server: str, database: Database) -> None:
    run_id = begin(database, steps=1200)
    with MlflowApi(server) as api:
        Mirror(api, database, run_id).tell()
    (run,) = seen(server, run_id)
    with MlflowApi(server) as api, pytest.raises(MlflowUnavailable, match="INVALID_PARAMETER_VALUE"):
        api.log(run["info"]["run_id"], parameters={"rank": 9})  # what was told once stays
    latest = {metric["key"]: metric["step"] for metric in run["data"]["metrics"]}
    assert int(latest["loss"]) == 1200


@pytest.mark.slow
def test_a_worker_shows_a_real_training(
    server: str, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LAST_WORD_S", 300.0)  # this machine may be busy
    settings = load_settings(home=tmp_path / "real", mlflow_uri=server)
    opened = open_database(settings)
    add_imported_base(opened, settings.home, tiny)
    rows = [Row(text=text, label=label) for text, label in plain_letters(400, seed=3)]
    content, artifacts = build_snapshot(rows, [], seed=1), open_artifacts(settings)
    snapshot = store_snapshot(opened, artifacts, content, model="letters", parent=None, feedback_until=0, now=utc_now())
    parameters = {"snapshot": snapshot, "seed": 1, "epochs": 2, "requires_improvement": False}
    with opened.write() as session:
        run_id = enqueue_run(session, NewRun("letters", "tiny", "a test", "lora", parameters), by="t", now=utc_now()).id
    run_worker(settings, once=True, stop=threading.Event())
    with opened.read() as session:
        run = get_run(session, run_id)
    opened.close()
    (shown,) = seen(server, run_id, "letters")
    assert shown["info"]["status"] == "FINISHED", run.reason
    assert tags(shown)["driftgate.version"] == "1"
    assert tags(shown)["driftgate.adapter"].startswith("adapters/")
    assert len(metric_history(server, shown["info"]["run_id"], "eval_loss")) == 2

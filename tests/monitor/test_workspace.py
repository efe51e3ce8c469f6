import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from monitor.check import run_check
from monitor.decision import Verdict
from monitor.retention import clean_reports
from monitor.workspace import EvidentlyWorkspace
from store.errors import BadInput
from tests.monitor.conftest import MakeWorld, World
from tests.monitor.traffic import DRIFTED
from tests.ports import free_port
from tests.waiting import until

READ = """
import json, sys
from evidently.core.report import Snapshot
from evidently.ui.workspace import Workspace
workspace, found = Workspace(sys.argv[1]), []
for project in workspace.list_projects():
    for run in workspace.list_runs(project.id):
        model = workspace.get_run(project.id, run)
        results = model.metric_results.values()
        found.append({
            "project": project.name,
            "run": run.hex,
            "name": model.name,
            "tags": model.tags,
            "metadata": model.metadata,
            "timestamp": model.timestamp.isoformat(),
            "values": {r.metric_value_location.metric.params["column"]: r.value for r in results},
            "page": Snapshot.load_model(model).get_html_str(as_iframe=False),
        })
print(json.dumps(found))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "for" / "evidently"


@pytest.fixture
def world(make_world: MakeWorld, folder: Path) -> World:
    made = make_world(evidently_workspace=folder, confirm_checks=1)
    made.deploy()
    return made


def read(folder: Path) -> list[dict[str, Any]]:
    """What Evidently itself finds there, in a process that never saw our test."""
    command = [sys.executable, "-c", READ, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def runs_in(folder: Path) -> set[str]:
    """Ids of the runs, as checks have them."""
    return {uuid.UUID(path.stem).hex for path in folder.glob("*/snapshots/*")}


def test_a_check_that_is_drawn_is_a_run_that_evidently_reads(world: World, folder: Path) -> None:
    world.answer(150)
    assert run_check(world.parts, "tickets").report is None
    world.answer(150, DRIFTED)
    result = run_check(world.parts, "tickets")
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json"}
    (run,) = read(folder)
    assert (run["project"], run["run"], run["name"]) == ("tickets", result.check, f"check {result.check}")
    assert (run["tags"], run["metadata"]) == (["drift"], {"version": "1"})
    assert run["timestamp"] == "2026-11-02T08:00:00"
    assert run["values"] == {name: pytest.approx(found["p_value"]) for name, found in result.signals.items()}
    assert "Drift in column" in run["page"]


def test_a_run_goes_with_the_report_of_its_check(world: World, folder: Path) -> None:
    world.answer(150, DRIFTED)
    old = run_check(world.parts, "tickets")
    world.clock.advance(days=91)
    world.answer(150, DRIFTED)
    (told,) = folder.glob("*/metadata.json")
    told.write_text(told.read_text().replace("tickets", "renamed by a person"))
    new = run_check(world.parts, "tickets")
    assert runs_in(folder) == {old.check, new.check}
    assert "renamed by a person" in told.read_text()
    clean_reports(world.parts)
    assert runs_in(folder) == {new.check}


def test_a_folder_that_goes_away_stops_no_check(world: World, folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file where the folder should be")
    world.answer(150, DRIFTED)
    with structlog.testing.capture_logs() as logs:
        result = run_check(world.parts, "tickets")
    assert result.drift.verdict is Verdict.DRIFT
    assert [check.report for check in world.checks()] == [result.report]
    assert [(entry["event"], entry["check"]) for entry in logs] == [("workspace_not_written", result.check)]
    world.keep_report(days_old=91)
    world.keep_report(days_old=0)
    with structlog.testing.capture_logs() as logs:
        clean_reports(world.parts)
    assert [entry["event"] for entry in logs] == ["workspace_not_cleaned", "reports_deleted"]


def test_a_folder_that_cannot_be_made_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match=r"cannot be a workspace of Evidently's UI: .*--evidently-workspace"):
            EvidentlyWorkspace(folder)


@contextmanager
def evidently_ui(folder: Path, log: Path) -> Iterator[httpx.Client]:
    """The UI as a person starts it, once it answers."""
    port = free_port()
    command = [Path(sys.executable).with_name("evidently"), "ui", "--workspace", folder, "--port", str(port)]
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=log.parent, env={**os.environ, "DO_NOT_TRACK": "1"}, stdout=said, stderr=said
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/projects", timeout=30, follow_redirects=True) as ui:

            def answers() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return ui.get("/").is_success
                except httpx.TransportError:
                    return False

            until(answers, within_s=90)
            yield ui
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def test_evidentlys_own_ui_shows_checks_and_notices_new_ones(world: World, folder: Path, tmp_path: Path) -> None:
    world.answer(150, DRIFTED)
    first = run_check(world.parts, "tickets")
    with evidently_ui(folder, tmp_path / "ui.log") as ui:
        (project,) = ui.get("/").json()
        assert project["name"] == "tickets"

        def listed() -> dict[str, str]:
            runs = ui.get(f"/{project['id']}/snapshots").json()
            return {uuid.UUID(run["id"]).hex: run["name"] for run in runs}

        assert listed() == {first.check: f"check {first.check}"}
        shown = ui.get(f"/{project['id']}/{uuid.UUID(first.check)}/data").text
        assert "Drift in column" in shown
        assert "NaN" not in shown, "no browser could read that"
        world.clock.advance(hours=1)
        world.answer(150, DRIFTED)
        second = run_check(world.parts, "tickets")
        until(lambda: set(listed()) == {first.check, second.check})

"""The page of a run as a person meets it: over HTTP, and in a browser."""

from datetime import timedelta
from math import exp

import pytest

from store.clock import utc_now
from store.database import Database
from store.records import Run
from store.runs import NewRun, add_metrics, claim_next_run, enqueue_run, finish_run, get_run, report_progress
from tests.browser import browser, needs_chromium
from tests.server.conftest import Start
from tests.server.problems import problem

HOSTILE = "<script>document.title = 'mine'</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"
ENVIRONMENT = {
    "plan": {"strategy": "lora", "targets": ["query", "value"], "rank": 8, "seed": 0, "learning_rate": 0.002},
    "packages": {"torch": "2.13.0", "peft": "0.21.2"},
    "threads": {"torch": 2, "OMP_NUM_THREADS": None},
    "git": {"revision": "a" * 40, "dirty": False},
    "start": {"version": 1, "artifact": "adapters/" + "b" * 64},
    "gpus": [],
}


def run_of(database: Database, *, cause: str = "drift confirmed", epochs: int = 4, seed: int = 0) -> str:
    """A run that is in its training."""
    with database.write() as session:
        run = enqueue_run(
            session, NewRun("tickets", "tiny", cause, "auto", {"seed": seed}), by="monitor", now=utc_now()
        )
        claim_next_run(session, owner="w", lease_s=60, max_attempts=3, now=utc_now(), run_id=run.id)
        report_progress(
            session, run.id, owner="w", stage="training", progress=0.45, values={"environment": ENVIRONMENT}
        )
        for step in range(10, 60 * epochs + 1, 10):
            add_metrics(session, run.id, step, {"loss": 0.3 + 3 * exp(-step / 60), "learning_rate": 1e-3})
        for epoch in range(1, epochs + 1):
            losses = {"eval_loss": 0.5 + 2 * exp(-epoch) + 0.02 * epoch**2, "eval_accuracy": 0.97 - 0.4 * exp(-epoch)}
            add_metrics(session, run.id, 60 * epoch, losses)
    return run.id


def end(database: Database, run_id: str, status: str = "rejected", reason: str = "old test rows are too few") -> None:
    with database.write() as session:
        get_run(session, run_id).evaluation = {"accuracy": 0.91, "macro_f1": 0.9, "gate": {"rules": {}}}
        finish_run(session, run_id, owner="w", status=status, reason=reason, now=utc_now() + timedelta(minutes=2))


def test_an_open_run_tells_how_far_it_is_and_loads_itself_again(start: Start):
    server = start()
    run = run_of(server.database)
    page = server.get(f"/runs/{run}").text
    assert '<meta http-equiv="refresh" content="3">' in page
    assert "45 %, in stage <strong>training</strong>" in page
    assert "<script" not in page


def test_an_ended_run_shows_outcome_curves_and_all_that_it_was_trained_with(start: Start):
    server = start()
    run = run_of(server.database)
    end(server.database, run)
    page = server.get(f"/runs/{run}").text
    assert "refresh" not in page
    for said in (
        "old test rows are too few",
        'aria-label="loss by training step, ',
        'class="curve training"',
        'class="curve validation"',
        "the weights of step 180 are kept",
        "Validation accuracy",
        "version 1",
        "query, value",
        "packages.torch",
        f"driftgate run reproduce {run}",
        "run rejected",
        f'href="/v1/runs/{run}"',
        'href="/models/tickets#runs"',
    ):
        assert said in page, said
    assert f'<a href="/runs/{run}">' in server.get("/models/tickets").text


@pytest.mark.parametrize("stage", ["queued", "snapshot", "failed before it trained"])
def test_a_run_without_figures_has_a_page(start: Start, stage):
    server = start()
    with server.database.write() as session:
        run = enqueue_run(session, NewRun("tickets", "tiny", HOSTILE, "lora", {}), by="ann", now=utc_now()).id
        if stage != "queued":
            claim_next_run(session, owner="w", lease_s=60, max_attempts=3, now=utc_now(), run_id=run)
        if stage.startswith("failed"):
            finish_run(session, run, owner="w", status="failed", reason=HOSTILE, now=utc_now())
    answer = server.get(f"/runs/{run}")
    assert answer.status_code == 200
    assert "No figure yet" in answer.text
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_runs_are_compared_and_what_differs_comes_first(start: Start):
    server = start()
    first = run_of(server.database, seed=0)
    end(server.database, first)
    second = run_of(server.database, seed=7, epochs=2)
    page = server.get(f"/runs/compare?run={first}&run={second}").text
    differs, _, same = page.partition("What is the same")
    assert "parameter: seed" in differs
    assert "status" in differs
    assert "environment: packages.torch" in same
    assert f"/runs/compare?run={first}&amp;run={second}" in server.get(f"/runs/{second}").text


def test_what_is_no_run_has_no_page(start: Start):
    server = start()
    run = run_of(server.database)
    problem(server.get("/runs/none"), 404, "no run 'none'")
    problem(server.get(f"/runs/compare?run={run}"), 422, "1 runs cannot be compared")
    problem(server.get("/runs/compare"), 422, "0 runs cannot be compared")
    problem(server.get(f"/runs/compare?run={run}&run=none"), 404, "no run 'none'")


def test_a_run_of_an_older_release_has_a_page(start: Start):
    server = start()
    run = run_of(server.database)
    with server.database.write() as session:
        row = session.get_one(Run, run)
        row.environment = {"plan": {"strategy": "lora", "rank": 8}, "python": "3.11.9", "packages": {"torch": "2.13.0"}}
    assert "3.11.9" in server.get(f"/runs/{run}").text


@needs_chromium
def test_a_browser_shows_it_at_every_width_and_complains_of_nothing(start: Start, tmp_path):
    server = start()
    first = run_of(server.database, cause="W" * 400)
    end(server.database, first, reason=HOSTILE)
    second = run_of(server.database)
    end(server.database, second, status="failed")
    with browser(tmp_path / "profile") as page:
        for path in (f"/runs/{first}", f"/runs/{second}", f"/runs/compare?run={first}&run={second}"):
            for width in (320, 390, 1280):
                page.open(f"{server.url}{path}", width=width, dark=width == 390)
                page.value("document.querySelectorAll('details').forEach(one => one.open = true)")
                assert page.value("document.documentElement.scrollWidth") <= width, (path, width)
        assert page.complaints == []
        assert "mine" not in page.value("document.title")

"""kill -9, ten times each, at random moments: nothing acknowledged is lost, and the loop goes on by itself.

Slow: thirty kills under steady traffic, and every process needs seconds to come back.
"""

import csv
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from store.artifacts import open_artifacts
from store.checks import last_checks
from store.clock import utc_now
from store.database import Database, open_database
from store.errors import DriftgateError
from store.events import history
from store.records import Adapter, Base, Check, Feedback, Prediction, Run, Snapshot, Version
from store.runs import get_run, last_run, list_runs
from store.settings import Settings, load_settings
from store.versions import get_deployment
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase
from tests.e2e.plain_letters import plain_letters
from tests.e2e.processes import Processes, Started, answers_ready, processes, wait_for

pytestmark = pytest.mark.slow

SEED = 20
KILLS_EACH = 10
NAMES = ("serve", "monitor", "worker")
ROUNDS_BETWEEN_KILLS = (5, 70)
"""Moments are drawn in rounds of the traffic, which come about every twentieth of a second."""
SETTINGS = {
    "DRIFTGATE_AUDIT_RATE": "1.0",
    "DRIFTGATE_RUN_LEASE_S": "2",
    "DRIFTGATE_RUN_MAX_ATTEMPTS": "100",
    "DRIFTGATE_WORKER_POLL_S": "0.2",
    "DRIFTGATE_MONITOR_TICK_S": "0.5",
    "DRIFTGATE_CHECK_EVERY_S": "2",
    "DRIFTGATE_WINDOW_ROWS": "100",
    "DRIFTGATE_WINDOW_MIN_ROWS": "20",
    "DRIFTGATE_RETRAIN_MIN_LABELS": "20",
    "DRIFTGATE_RETRAIN_COOLDOWN_S": "0",
    "DRIFTGATE_RETRAIN_RUNS_A_WEEK": "1000",
    "DRIFTGATE_RETRAIN_EVERY_DAYS": "0.00001",  # a second: as soon as one run has ended, the next one is due
    "DRIFTGATE_TRAIN_EPOCHS": "12",
}


@dataclass
class Traffic(threading.Thread):
    """One caller who labels each answer, and says it again until it is acknowledged."""

    url: str
    rounds: int = 0
    answered: int = 0
    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Prediction and label, by the id of the feedback."""
    unexpected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._stop_asked = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        letters = plain_letters(5000, seed=SEED)
        with httpx.Client(base_url=self.url, timeout=30) as http:
            while not self._stop_asked.wait(0.05):  # a steady pace, not as fast as can be
                text, label = letters[self.rounds % len(letters)]
                self.rounds += 1
                answer = self._post(http, "/v1/models/letters/predict", {"inputs": [text]})
                if answer is None:
                    continue
                if answer.status_code != 200:
                    self.unexpected.append(f"predict {answer.status_code} {answer.text[:200]}")
                    continue
                self.answered += 1
                self._say(http, answer.json()["predictions"][0]["id"], text, label)

    def end(self) -> None:
        self._stop_asked.set()
        self.join(60)
        assert not self.is_alive()

    def _say(self, http: httpx.Client, prediction: str, text: str, label: str) -> None:
        verdict = {"prediction_id": prediction, "label": label, "by": "ground truth", "origin": "audit"}
        for _ in range(1200):
            said = self._post(http, "/v1/feedback", verdict)
            if said is not None and said.status_code in (200, 201):
                self.acknowledged[said.json()["id"]] = (prediction, label)
                return
            if said is not None and said.status_code == 422 and "input" not in verdict:
                verdict["input"] = text  # the prediction was lost with the server, as its contract says
            elif said is not None:
                self.unexpected.append(f"feedback {said.status_code} {said.text[:200]}")
                return
            if self._stop_asked.wait(0.05):  # it is being started again
                return
        self.unexpected.append(f"feedback on {prediction} was never acknowledged")

    def _post(self, http: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response | None:
        """None while nobody answers."""
        try:
            return http.post(path, json=body)
        except httpx.TransportError:
            return None


@dataclass
class Kills:
    count: Counter[str] = field(default_factory=Counter)
    last: dict[str, datetime] = field(default_factory=dict)
    interrupted: set[str] = field(default_factory=set)
    """Runs that were running when the worker was killed."""
    with_checkpoint: set[str] = field(default_factory=set)
    """Those of them that had a whole checkpoint."""


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
def url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def group(tmp_path: Path, opened: Database, url: str) -> Iterator[Processes]:
    """A home with a first version of `letters` in production."""
    data = tmp_path / "letters.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *plain_letters(400, seed=1)])
    port = {"DRIFTGATE_PORT": url.rpartition(":")[2]}
    with processes(tmp_path / "home", tmp_path / "logs", **SETTINGS, **port) as started:
        started.ask("train", "--base", "tiny", "--model", "letters", "--data", str(data), "--epochs", "8", "--promote")
        yield started


def test_thirty_kills_lose_nothing_and_the_loop_goes_on(
    settings: Settings, opened: Database, group: Processes, url: str, tmp_path: Path
) -> None:
    running = {name: group.start(name) for name in NAMES}
    wait_for(lambda: answers_ready(url), "the server")
    traffic = Traffic(url)
    traffic.start()
    wait_for(lambda: last_run_of(opened) is not None, "a run that the monitor asks for", seconds=120)

    kills = kill_at_random(settings, opened, group, running, traffic)

    wait_for(lambda: answers_ready(url), "the server after its last kill")
    wait_for(lambda: checked_since(opened, kills.last["monitor"]), "a check after the last kill", seconds=120)
    wait_for(lambda: all_ended(opened, kills.interrupted), "the interrupted runs to end", seconds=240, every_s=0.5)
    answered = traffic.answered
    wait_for(lambda: traffic.answered > answered, "another answer")
    traffic.end()
    for name, started in running.items():
        assert started.process.poll() is None, f"{name} ended by itself:\n{started.tail()}"
    group.end()

    print_outcome(opened, kills, traffic)
    assert kills.count == dict.fromkeys(NAMES, KILLS_EACH)
    assert traffic.unexpected == []
    assert tracebacks(tmp_path / "logs") == []
    assert_feedback_is_whole(opened, traffic)
    assert_artifacts_are_whole(settings, opened)
    assert_runs_went_on(opened, kills)


def kill_at_random(
    settings: Settings, database: Database, group: Processes, running: dict[str, Started], traffic: Traffic
) -> Kills:
    rng = Random(SEED)
    kills = Kills()
    for _ in range(KILLS_EACH):
        for name in rng.sample(NAMES, len(NAMES)):
            moment = traffic.rounds + rng.randint(*ROUNDS_BETWEEN_KILLS)
            wait_for(lambda moment=moment: traffic.rounds >= moment, "the traffic to go on", every_s=0.01)
            victim = running[name]
            assert victim.process.poll() is None, f"{name} ended by itself:\n{victim.tail()}"
            victim.kill()
            kills.count[name] += 1
            kills.last[name] = utc_now()
            run = last_run_of(database) if name == "worker" else None
            if run is not None and run.status == "running":
                kills.interrupted.add(run.id)
                if list((settings.home / "work" / run.id).glob("*/checkpoints/*/*/complete.json")):
                    kills.with_checkpoint.add(run.id)
            running[name] = group.start(name)
    return kills


def last_run_of(database: Database) -> Run | None:
    """The newest run that the monitor asked for."""
    with database.read() as session:
        run = last_run(session, "letters")
    return run if run is not None and "feedback_until" in run.parameters else None


def checked_since(database: Database, moment: datetime) -> bool:
    with database.read() as session:
        return any(check.at > moment for check in last_checks(session, "letters", limit=5))


def all_ended(database: Database, runs: set[str]) -> bool:
    with database.read() as session:
        return all(get_run(session, run).ended_at is not None for run in runs)


def tracebacks(logs: Path) -> list[str]:
    said = {path.name: path.read_text("utf-8", errors="replace") for path in sorted(logs.iterdir())}
    return [f"{name}: {text[-1500:]}" for name, text in said.items() if "Traceback" in text or "corrupt" in text]


def assert_feedback_is_whole(database: Database, traffic: Traffic) -> None:
    with database.read() as session:
        rows = session.execute(select(Feedback.id, Feedback.prediction_id, Feedback.label, Feedback.input)).all()
        recorded = set(session.scalars(select(Prediction.id)))
    stored = {row.id: (row.prediction_id, row.label) for row in rows}
    assert {key: stored.get(key) for key in traffic.acknowledged} == traffic.acknowledged
    twice = [prediction for prediction, times in Counter(row.prediction_id for row in rows).items() if times > 1]
    assert twice == [], "a verdict was stored twice"
    lost = [row.prediction_id for row in rows if row.input is None and row.prediction_id not in recorded]
    assert lost == [], "feedback was acknowledged, but the text that it speaks of is gone"


def assert_artifacts_are_whole(settings: Settings, database: Database) -> None:
    """What records point to is there and verifies; so is everything that stands under a final name."""
    with database.read() as session:
        named = {
            *session.scalars(select(Base.artifact)),
            *(spec["backbone_artifact"] for spec in session.scalars(select(Base.spec))),
            *session.scalars(select(Adapter.artifact)),
            *session.scalars(select(Version.reference)),
            *session.scalars(select(Snapshot.artifact)),
            *session.scalars(select(Check.report)),
        } - {None}
    root = settings.home / "artifacts"
    there = {f"{path.parent.name}/{path.name}" for path in root.glob("[!.]*/*")}
    assert named <= there
    damaged = []
    artifacts = open_artifacts(settings)
    for key in sorted(there):
        try:
            artifacts.fetch(key)
        except DriftgateError as error:
            damaged.append(str(error))
    assert damaged == []


def assert_runs_went_on(database: Database, kills: Kills) -> None:
    with database.read() as session:
        runs = {run.id: run for run in list_runs(session, "letters")}
        resumed = {e.links["run"] for e in history(session, "letters", kinds=["run_resumed"], limit=10_000)}
    assert kills.with_checkpoint, "no kill met a training that had a checkpoint; let more time pass between kills"
    assert kills.interrupted <= resumed
    ends = {run: (runs[run].status, runs[run].reason) for run in kills.interrupted}
    assert {status for status, _ in ends.values()} <= {"succeeded", "rejected"}, ends
    assert [run.reason for run in runs.values() if run.status == "failed"] == []


def print_outcome(database: Database, kills: Kills, traffic: Traffic) -> None:
    with database.read() as session:
        outcomes = Counter(run.status for run in list_runs(session, "letters"))
        resumed = len(history(session, "letters", kinds=["run_resumed"], limit=10_000))
        production = get_deployment(session, "letters").production
        checks = len(session.scalars(select(Check.id)).all())
    print(
        f"kills {dict(kills.count)}; rounds {traffic.rounds}, answered {traffic.answered}, "
        f"feedback acknowledged {len(traffic.acknowledged)}; checks {checks}; runs {dict(outcomes)}, "
        f"interrupted {len(kills.interrupted)}, of these with a checkpoint {len(kills.with_checkpoint)}, "
        f"resumed {resumed} times; version {production} in production"
    )

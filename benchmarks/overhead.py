"""Claim 3: what is left when the model costs nothing, beside a bare FastAPI route; and where the microseconds go.

The stages are timed in this process, where the application is driven without a socket; what the server's process takes
beyond that is HTTP. All of it is processor time of the thread that spends it, so that other work of the machine does
not show; the timers themselves cost some tenths of a microsecond each.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import uvloop

import server.answering
import server.batching
import server.predict
from benchmarks.frame import (
    at_least,
    begin,
    claim_line,
    errors_line,
    figure_line,
    load,
    options,
    quiet_logs,
    ratios,
    tell,
)
from benchmarks.peers.model import build_tiny_home, export_plain
from benchmarks.peers.roster import PEERS, VARIANTS
from benchmarks.peers.rounds import Results, driftgate_up, get_going, measure_in_slices, peer_up
from benchmarks.peers.workloads import WORKLOADS, Questions, ask_questions
from benchmarks.questions import Question, RightLabel
from benchmarks.stage import MODEL, free_port, serving
from engine.engine import Engine
from engine.text import TextModality
from server.app import create_surface
from server.batching import Batcher
from server.metrics import VersionMetrics
from server.process import open_parts
from server.recording import Recorder
from store.settings import load_settings

BARE = "FastAPI async, one process"
CLIENTS = 8
_REST = "routing and the rest of the application"
_WRITER = "record, the writer's thread"


def main() -> None:
    asked = begin(options("overhead", __doc__))
    quiet_logs()
    ours, workload, results = VARIANTS[0].name, WORKLOADS["tiny"], Results()
    with tempfile.TemporaryDirectory(prefix="dg-") as folder:
        home, model = Path(folder, "home"), Path(folder, "model")
        build_tiny_home(home)
        export_plain(home, model)
        questions = ask_questions(model, workload, seed=4)
        with ExitStack() as stack:
            bare = next(peer for peer in PEERS if peer.name == BARE)
            contestants = [
                stack.enter_context(driftgate_up(VARIANTS[0], home)),
                stack.enter_context(peer_up(bare, model, Path(folder, "bare"))),
            ]
            for contestant in contestants:
                get_going(contestant, workload, questions)
            measure_in_slices(
                contestants,
                workload,
                questions,
                [CLIENTS],
                rounds=asked.rounds,
                seconds=asked.seconds,
                results=results,
            )
        rates = {name: [t.texts_per_s for t in results.of("tiny", CLIENTS, name)] for name in (ours, BARE)}
        for name, values in rates.items():
            tell(figure_line(f"tiny base, {CLIENTS} clients, {name}", values, "requests/s"))
        line = f"claim 3: tiny base, {CLIENTS} clients, requests/s to {BARE}"
        tell(claim_line(line, ratios(rates[ours], rates[BARE]), at_least(0.90)))
        bad = sum(turn.wrong + turn.failures for turn in results.turns)
        tell(f"answers that were wrong or failed: {bad} of {sum(turn.answers for turn in results.turns):,}")
        _tell_stages(home, questions, asked.rounds, asked.seconds)


def _tell_stages(home: Path, questions: Questions, rounds: int, seconds: float) -> None:
    texts = [texts[0] for texts in questions.texts]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        plain = runner.run(_drive(home, texts, rounds=rounds, seconds=seconds, timed=False))
        timed = runner.run(_drive(home, texts, rounds=rounds, seconds=seconds, timed=True))
    asked = [
        Question(MODEL, text[0], right[0][0]) for text, right in zip(questions.texts, questions.expected, strict=True)
    ]
    with serving(home, port=free_port()) as up:
        process = psutil.Process(up.pid)
        requests = [question.request(up.address) for question in asked]
        load(up.address, requests, clients=CLIENTS, seconds=1.0, check=None)
        before, results = _cpu_s(process), []
        for _ in range(rounds):
            results.append(
                load(up.address, requests, clients=CLIENTS, seconds=seconds, check=RightLabel(asked)),
            )
        answered = _answered(results, seconds)
        over_http = 1e6 * (_cpu_s(process) - before) / answered
    for stage, us in timed.items():
        tell(figure_line(f"a request, {stage}", us, "us"))
    tell(figure_line("a request, in the application, CPU with the timers", sum(timed.values()), "us"))
    whole = sum(plain.values())
    tell(figure_line("a request, in the application, CPU without the timers", whole, "us"))
    tell(figure_line("a request, HTTP: uvicorn, the socket and the system", over_http - whole, "us"))
    tell(figure_line("a request, the server's process", over_http, "us"))
    tell(errors_line(results))


def _answered(results: Sequence[Any], seconds: float) -> float:
    """Warm-up and end included, as the server's own time is: each load runs for half a second more than it counts."""
    return sum(result.per_s * (seconds + 0.5) for result in results)


class Stages:
    """Seconds by stage, added up over all requests. The stages do not contain each other."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._open = ExitStack()

    def __enter__(self) -> "Stages":
        wrap = self._wrap
        wrap(server.predict, "read_predict_body", "parse")
        wrap(TextModality, "encode", "tokenize")
        for name in ("_enqueue", "_take", "_end"):
            wrap(Batcher, name, "queue")
        wrap(server.batching, "_settle", "queue")
        wrap(Engine, "run", "run")
        wrap(server.batching, "softmax_rows", "softmax")
        wrap(server.answering, "answer_of", "softmax")
        wrap(Engine, "sketch", "sketch")
        wrap(server.answering, "_prediction", "record")
        wrap(Recorder, "offer", "record")
        wrap(Recorder, "_write", _WRITER)
        wrap(Batcher, "_observe", "metrics")
        wrap(VersionMetrics, "observe", "metrics")
        wrap(server.predict, "_encode", "encode")
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def _wrap(self, owner: Any, name: str, stage: str) -> None:
        inner, seconds, clock = getattr(owner, name), self.seconds, time.thread_time

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            try:
                return inner(*args, **kwargs)
            finally:
                seconds[stage] += clock() - began

        self._open.enter_context(patch.object(owner, name, timed))


async def _drive(home: Path, texts: Sequence[str], *, rounds: int, seconds: float, timed: bool) -> dict[str, float]:
    """Microseconds a request by stage, of which there is one alone where nothing is `timed`."""
    bodies = [json.dumps({"inputs": [text]}).encode() for text in texts]
    with ExitStack() as stack:
        stages = stack.enter_context(Stages()) if timed else Stages()
        async with open_parts(load_settings(home=home)) as parts:
            app = create_surface(parts).app
            await parts.router.refresh()
            writer = asyncio.create_task(parts.recorder.run())
            await _ask_for(app, bodies, min(1.0, seconds))
            stages.seconds.clear()
            before = time.process_time()
            count = await _ask_for(app, bodies, rounds * seconds)
            await parts.recorder.drain(timeout_s=30)
            whole = time.process_time() - before
            found = {stage: 1e6 * spent / count for stage, spent in stages.seconds.items()}
            writer.cancel()
    return {**found, _REST: 1e6 * whole / count - sum(found.values())}


async def _ask_for(app: Any, bodies: Sequence[bytes], seconds: float) -> int:
    """So many at once as there are clients, each again when it is answered; how many were answered."""
    ends, count = time.perf_counter() + seconds, 0

    async def client() -> None:
        nonlocal count
        while time.perf_counter() < ends:
            body = bodies[count % len(bodies)]
            count += 1
            await _ask(app, body)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return count


async def _ask(app: Any, body: bytes) -> None:
    """One request, without a socket. Raises AssertionError for another status than 200."""
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()  # the caller stays
        return parts.pop()

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) == 200, message

    headers = [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": f"/v1/models/{MODEL}/predict",
        "raw_path": b"",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    await app(scope, receive, send)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()

"""Claim 5: what a promotion costs: how soon it answers, what other callers notice, and what is left in memory.

One model is promoted from version to version, in slots so few that each promotion has to load its adapter. A caller of
that model asks again and again and notes who answered; callers of other models are the traffic that must not notice.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from math import inf
from pathlib import Path

import numpy as np
import psutil

from benchmarks.adapters import Wanted, add_versions, label_names
from benchmarks.frame import (
    WARM_UP_S,
    Promise,
    at_most,
    begin,
    claim_line,
    errors_line,
    figure_line,
    load,
    options,
    order,
    quiet_logs,
    ratios,
    tell,
)
from benchmarks.mixed_text import minilm_tokenizer, mixed_texts
from benchmarks.peers.model import build_tiny_home
from benchmarks.questions import RightLabel, find_answers
from benchmarks.stage import Server, build_base, free_port, opened, serving
from cli.load.apart import run_apart
from cli.load.connection import Address
from cli.load.result import LoadResult
from engine.base import spec_from_json
from server.fleet import Fleet
from server.metrics import ServerMetrics, new_registry
from store.bases import get_base
from store.settings import load_settings
from store.versions import ServedVersion, served_version

SWAPPED = "swapped"
VERSIONS = 20
OTHERS = 8
CALLERS = 8
"""They keep the server busy. More would wait for each other, and a first answer behind them, promotion or not."""
SLOTS = "16"
"""The others' adapters, two of the swapped model, and a few more: its other versions are evicted."""
GRACE_S = 0.150
"""Within so long of its promotion a version answers."""
CYCLED = 50
EARLY, LATE = 100, 10_000


@dataclass(frozen=True, slots=True)
class Promotion:
    version: int
    sent_s: float
    acked_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    asked_s: float
    answered_s: float
    version: int


@dataclass
class Watched:
    """What the caller of the swapped model saw, and what was promoted meanwhile."""

    promotions: list[Promotion] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    failures: int = 0


def first_answers_s(promotions: Sequence[Promotion], answers: Sequence[Answer]) -> list[float]:
    """Of each promotion, from its acknowledgement to the first answer of its version, or of one promoted later.

    0 where the answer came before the acknowledgement; infinite where callers asked and nothing newer answered. A
    promotion after which nobody asked any more is left out.
    """
    found = []
    for number, promotion in enumerate(promotions):
        newer = {later.version for later in promotions[number : number + VERSIONS // 2]}  # versions come round again
        right = [a.answered_s for a in answers if a.answered_s >= promotion.sent_s and a.version in newer]
        if right:
            found.append(max(0.0, min(right) - promotion.acked_s))
        elif any(answer.asked_s > promotion.acked_s for answer in answers):
            found.append(inf)
    return found


def wrong_answers(promotions: Sequence[Promotion], answers: Sequence[Answer], *, grace_s: float) -> list[Answer]:
    """Answers of one sequential caller that no order of events explains.

    promotions: in order; the first is the version that was in force at the start. An answer may come from a promotion
    that was under way or done when it arrived, unless a later one had been acknowledged for `grace_s` when it was
    asked; and never from an earlier promotion than the answer before it.
    """
    wrong, at = [], 0
    for answer in answers:
        last = [i for i, p in enumerate(promotions) if p.sent_s <= answer.answered_s][-1]
        overdue = [i for i, p in enumerate(promotions) if p.acked_s + grace_s < answer.asked_s]
        oldest = max(at, overdue[-1] if overdue else 0)
        possible = [i for i in range(oldest, last + 1) if promotions[i].version == answer.version]
        if possible:
            at = possible[0]
        else:
            wrong.append(answer)
    return wrong


def main() -> None:
    parser = options("swaps", __doc__)
    parser.add_argument("--promotions", type=int, default=1_000)
    parser.add_argument("--pace", type=float, default=0.1, help="seconds from one to the next (default: %(default)s)")
    parser.add_argument("--cycles", type=int, default=LATE)
    asked = begin(parser)
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home, tiny = Path(folder, "home"), Path(folder, "tiny")
        spec = build_base(home)
        others = [Wanted(f"other{i}", label_names(f"other{i}", 3 + i), seed=i) for i in range(OTHERS)]
        swapped = [Wanted(SWAPPED, label_names(SWAPPED, 3), seed=100 + i) for i in range(VERSIONS)]
        with opened(home) as store:
            add_versions(store, spec, [*others, *swapped])
        _swap(home, asked)
        build_tiny_home(tiny)
        for name, place, base in (("MiniLM", home, "minilm"), ("tiny base", tiny, "tiny")):
            _tell_cycles(name, place, base, asked.cycles)


def _swap(home: Path, asked: argparse.Namespace) -> None:
    pace_s, rounds = asked.pace, asked.rounds
    texts = mixed_texts(minilm_tokenizer(), asked.texts, seed=4)
    questions = find_answers(home, [(f"other{i % OTHERS}", text) for i, text in enumerate(texts)])
    each = -(-asked.promotions // rounds)
    calm: list[LoadResult] = []
    swapping: list[LoadResult] = []
    delays_s: list[float] = []
    wrong = failures = answers = promoted = 0
    version = 1
    with (
        serving(home, port=free_port(), environment={"DRIFTGATE_SLOTS": SLOTS}) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        requests = [question.request(server.address) for question in questions]
        for number in range(rounds):
            for side in order(["calm", "swapping"], number):
                seconds = each * pace_s
                traffic = threads.submit(
                    load, server.address, requests, clients=CALLERS, seconds=seconds, check=RightLabel(questions)
                )
                watched = _watch(server, version, each if side == "swapping" else 0, pace_s, until=traffic.done)
                (swapping if side == "swapping" else calm).append(traffic.result())
                delays_s += first_answers_s(watched.promotions[1:], watched.answers)
                wrong += len(wrong_answers(watched.promotions, watched.answers, grace_s=GRACE_S))
                failures += watched.failures
                answers += len(watched.answers)
                promoted += len(watched.promotions) - 1
                version = watched.promotions[-1].version
    delays_ms = 1000 * np.asarray(delays_s)
    tell(f"promotions: {promoted:,}, of which {len(delays_s):,} were followed to their first answer")
    tell(
        figure_line("promotion to the first answer of the new version, p50", float(np.percentile(delays_ms, 50)), "ms")
    )
    tell(
        figure_line("promotion to the first answer of the new version, p99", float(np.percentile(delays_ms, 99)), "ms")
    )
    tell(claim_line("claim 5: promotion to the first answer, the slowest, ms", [float(delays_ms.max())], at_most(150)))
    p99 = {name: [r.percentile_ms(99) for r in found] for name, found in (("without", calm), ("with", swapping))}
    for name, values in p99.items():
        tell(figure_line(f"p99 of the other traffic, {name} swaps", values, "ms"))
    tell(
        claim_line(
            "claim 5: p99 of the other traffic with swaps to without",
            ratios(p99["with"], p99["without"]),
            at_most(1.25),
        )
    )
    tell(
        f"claim 5: failures: {failures} of {answers:,} at the swapped model; others: {errors_line([*calm, *swapping])}"
    )
    tell(f"claim 5: wrong-version answers: {wrong} of {answers:,}")


def _watch(server: Server, version: int, promotions: int, pace_s: float, *, until: Callable[[], bool]) -> Watched:
    """Promote so often, from the version after `version` on, while one caller asks, until the traffic is over."""
    watched = Watched([Promotion(version, -inf, -inf)])
    stop = threading.Event()
    caller = threading.Thread(target=_call, args=(server.address, watched, stop))
    caller.start()
    try:
        time.sleep(2 * WARM_UP_S)  # the traffic is still getting going
        began = time.perf_counter()
        for number in range(promotions):
            time.sleep(max(0.0, began + number * pace_s - time.perf_counter()))  # the pace that is measured
            version = version % VERSIONS + 1
            sent_s = time.perf_counter()
            status, _ = _post(server.address, f"/v1/models/{SWAPPED}/versions/{version}/promote", {})
            watched.promotions.append(Promotion(version, sent_s, time.perf_counter()))
            watched.failures += status != 200
        while not until():
            time.sleep(0.05)  # the traffic decides when
    finally:
        stop.set()
        caller.join()
    return watched


def _call(address: Address, watched: Watched, stop: threading.Event) -> None:
    connection = HTTPConnection(address.host, address.port, timeout=30)
    body = json.dumps({"inputs": ["where is my parcel"]})
    while not stop.is_set():
        asked_s = time.perf_counter()
        connection.request("POST", f"/v1/models/{SWAPPED}/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        if answer.status == 200:
            watched.answers.append(Answer(asked_s, time.perf_counter(), json.loads(told)["version"]))
        else:
            watched.failures += 1
    connection.close()


def _post(address: Address, path: str, body: object) -> tuple[int, bytes]:
    connection = HTTPConnection(address.host, address.port, timeout=30)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _tell_cycles(name: str, home: Path, base: str, cycles: int) -> None:
    with opened(home) as store:
        with store.database.read() as session:
            spec = spec_from_json(get_base(session, base).spec)
        add_versions(store, spec, [Wanted(f"cycled{i}", label_names(f"c{i}", 3), seed=200 + i) for i in range(CYCLED)])
    early, late = run_apart(_memory_of_cycles, 900.0, None, home, cycles)
    tell(figure_line(f"{name}: resident memory after {EARLY} load/unload cycles", early / 2**20, "MiB"))
    tell(figure_line(f"{name}: resident memory after {cycles:,}", late / 2**20, "MiB"))
    line = f"claim 5: {name}, resident memory after {cycles:,} load/unload cycles to that after {EARLY}"
    tell(claim_line(line, [late / early], Promise(0.95, 1.05)))


def _memory_of_cycles(home: Path, cycles: int) -> tuple[int, int]:
    """Load, run and evict adapters in turn, as a server does; resident bytes after EARLY cycles and after all."""
    quiet_logs()
    process = psutil.Process()
    early = 0
    with opened(home) as store:
        with store.database.read() as session:
            served = [served_version(session, f"cycled{i}", 1) for i in range(CYCLED)]
        fleet = Fleet(load_settings(home=home), store.artifacts, ServerMetrics(new_registry()), lanes=1)
        for number in range(1, cycles + 1):
            _cycle(fleet, served[number % CYCLED])
            if number == EARLY:
                early = process.memory_info().rss
        late = process.memory_info().rss
        fleet.close()
    return early, late


def _cycle(fleet: Fleet, served: ServedVersion) -> None:
    runtime, precision = fleet.open(served)
    engine, key = runtime.engine, served.adapter_artifact
    fleet.load(runtime, key)
    slot = engine.bank.lease(key)
    assert slot is not None, "it was loaded just now"
    engine.run(engine.modality.encode(["where is it"], truncate=False), [slot], precision=precision)
    engine.bank.release(key)
    assert engine.bank.evict(key), "nobody holds it"


if __name__ == "__main__":
    main()

"""Claim 4: what many adapters cost. 64 of them in turn, 1,000 with room for 256, and the memory of 1,000 slots."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.adapters import Wanted, add_versions, label_names
from benchmarks.frame import (
    Promise,
    at_least,
    begin,
    claim_line,
    errors_line,
    figure_line,
    load,
    options,
    play,
    ratios,
    tell,
)
from benchmarks.mixed_text import minilm_tokenizer, mixed_texts
from benchmarks.questions import Question, RightLabel, find_answers
from benchmarks.stage import Server, build_base, free_port, opened, serving
from cli.load.result import LoadResult
from engine.base import BaseSpec

CLIENTS = 64
IN_TURN = 64
FEWEST_LABELS, MOST_LABELS = 3, 66
_FOLLOW_S = 100.0
"""How long a server may take to load what was promoted."""


def main() -> None:
    parser = options("many_adapters", __doc__)
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--room", type=int, default=256, help="slots for them (default: %(default)s)")
    asked = begin(parser)
    texts = mixed_texts(minilm_tokenizer(), 2 * asked.texts, seed=4)
    names = [f"m{i}" for i in range(asked.models)]
    first = min(IN_TURN, asked.models)
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        spec = build_base(home)
        _add(home, spec, names[:first])
        in_turn = find_answers(home, [(names[i % first], text) for i, text in enumerate(texts[: asked.texts])])
        one = find_answers(home, [(names[0], text) for text in texts[: asked.texts]])
        with serving(home, port=free_port(), environment={"DRIFTGATE_SLOTS": str(2 * first)}) as server:
            found = _compare(server, in_turn, one, asked.rounds, asked.seconds)
        _report(f"claim 4: throughput with {first} adapters in turn to that with one", found, 0.90)

        roomy = {"DRIFTGATE_SLOTS": str(asked.models + 24), "DRIFTGATE_SLOT_MEMORY_BYTES": str(2**34)}
        with serving(home, port=free_port(), environment=roomy, log="roomy.log") as server:
            _tell_memory(home, spec, server, names, first)

        popular = names[::-1]  # the ones that were made last are not the ones that were loaded last
        drawn = zipf_draws(asked.models, len(texts), seed=4)
        zipf = find_answers(home, [(popular[i], text) for i, text in zip(drawn, texts, strict=True)])
        tight = {"DRIFTGATE_SLOTS": str(asked.room)}
        with serving(home, port=free_port(), environment=tight, log="tight.log") as server:
            load(server.address, [q.request(server.address) for q in zipf], clients=CLIENTS, seconds=5.0, check=None)
            before = _lookups(server)
            found = _compare(server, zipf, one, asked.rounds, asked.seconds)
            hits, misses = (after - was for after, was in zip(_lookups(server), before, strict=True))
        line = f"claim 4: throughput of {asked.models:,} adapters, Zipf 1.0, room for {asked.room}, to that with one"
        _report(line, found, 0.80)
        zipf_asked = sum(sum(r.by_status.values()) for r in found["many"])
        tell(figure_line("hit ratio of the Zipf traffic", 100 * (1 - misses / max(1, zipf_asked)), "%"))
        tell(figure_line("hit ratio of all of that server's traffic", 100 * hits / max(1, hits + misses), "%"))


def zipf_draws(items: int, count: int, *, seed: int) -> list[int]:
    """[count] of 0 .. items - 1, item i with a probability proportional to 1 / (i + 1)."""
    weights = 1 / np.arange(1, items + 1)
    drawn: list[int] = np.random.default_rng(seed).choice(items, count, p=weights / weights.sum()).tolist()
    return drawn


def rotated(questions: Sequence[Question], number: int, of: int) -> list[Question]:
    """Begun elsewhere each round, so that rounds do not ask the same things."""
    at = len(questions) * number // of
    return [*questions[at:], *questions[:at]]


def _compare(
    server: Server, many: Sequence[Question], one: Sequence[Question], rounds: int, seconds: float
) -> dict[str, list[LoadResult]]:
    turns = {"many": 0, "one": 0}

    def turn(side: str, questions: Sequence[Question]) -> LoadResult:
        asked = rotated(questions, turns[side], rounds)
        turns[side] += 1
        requests = [question.request(server.address) for question in asked]
        return load(server.address, requests, clients=CLIENTS, seconds=seconds, check=RightLabel(asked))

    turn("one", one)  # warm-up
    turn("many", many)
    turns.update(many=0, one=0)
    return play({"many": lambda: turn("many", many), "one": lambda: turn("one", one)}, rounds)


def _report(name: str, found: dict[str, list[LoadResult]], bound: float) -> None:
    rates = {side: [result.per_s for result in results] for side, results in found.items()}
    for side, values in rates.items():
        tell(figure_line(f"{side} of them, {CLIENTS} clients", values, "texts/s"))
    tell(claim_line(name, ratios(rates["many"], rates["one"]), at_least(bound)))
    tell(errors_line([result for results in found.values() for result in results]))


def _add(home: Path, spec: BaseSpec, names: Sequence[str]) -> None:
    """Models with 3 to 66 labels in turn."""
    wanted = []
    for name in names:
        number = int(name[1:])
        count = FEWEST_LABELS + number % (MOST_LABELS - FEWEST_LABELS + 1)
        wanted.append(Wanted(name, label_names(name, count), seed=number))
    with opened(home) as store:
        add_versions(store, spec, wanted)


def _tell_memory(home: Path, spec: BaseSpec, server: Server, names: Sequence[str], before: int) -> None:
    """Register the models from `before` on while the server runs, and see what it grows by."""
    process = psutil.Process(server.pid)
    with httpx.Client(base_url=server.url, timeout=30) as http:
        _ask_each(http, names[:before])
        small = process.memory_info().rss
        began = time.monotonic()
        _add(home, spec, names[before:])
        tell(
            figure_line(
                "registering and promoting a model, all together",
                (time.monotonic() - began) * 1000 / max(1, len(names) - before),
                "ms",
            )
        )
        _await_resident(http, len(names))
        _ask_each(http, names[before:])
        grown = process.memory_info().rss - small
    a_slot = grown / max(1, len(names) - before)
    tell(figure_line("memory of a slot, computed from the shapes", spec.slot_bytes / 1024, "KiB"))
    tell(figure_line(f"memory a slot, measured as the server went from {before} to {len(names)}", a_slot / 1024, "KiB"))
    share = a_slot / spec.slot_bytes
    tell(claim_line("claim 4: memory a slot to what is computed", [share], Promise(0.90, 1.10)))


def _ask_each(http: httpx.Client, names: Sequence[str]) -> None:
    for name in names:
        http.post(f"/v1/models/{name}/predict", json={"inputs": ["where is it"]}).raise_for_status()


def _await_resident(http: httpx.Client, count: int) -> None:
    ends = time.monotonic() + _FOLLOW_S
    while (have := _metric(http, "driftgate_adapter_slots", state="resident")) < count:
        if time.monotonic() > ends:
            raise RuntimeError(f"after {_FOLLOW_S:g} s {have:g} of {count} adapters are resident")
        time.sleep(0.1)  # another process decides when; there is nothing to await


def _lookups(server: Server) -> tuple[float, float]:
    """Hits and misses so far."""
    with httpx.Client(base_url=server.url, timeout=30) as http:
        return (
            _metric(http, "driftgate_adapter_lookups_total", result="hit"),
            _metric(http, "driftgate_adapter_lookups_total", result="miss"),
        )


def _metric(http: httpx.Client, name: str, **labels: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(http.get("/metrics").raise_for_status().text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


if __name__ == "__main__":
    main()

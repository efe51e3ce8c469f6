"""How fast a version answers, and what it takes in memory, in the engine that will serve it.

Told with the machine and never part of a verdict: another machine, or a neighbour on this one, changes it.
"""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.base import GRAPH_FILES
from engine.classification import softmax
from engine.cores import usable_cores
from engine.engine import Engine
from engine.precision import Precision
from store.errors import Broken

_MOST_SECONDS = 0.6
"""For single texts, and again for many."""
_MOST_SINGLES = 300
_FIRST = 5
"""Runs before the clock counts."""


@dataclass(frozen=True, slots=True)
class AsServed:
    precision: Precision
    provider: str
    single_p50_s: float
    single_p95_s: float
    """From text to probabilities, one text at a time on all cores, without the network."""
    singles: int
    rows_per_s: float
    """Many texts at once, in batches of similar length."""
    graph_bytes: int
    """File of the base in this precision; all versions on it share it."""
    adapter_bytes: int
    """Memory of one slot."""
    machine: str
    cores: int


def measure_as_served(
    engine: Engine,
    key: str,
    texts: Sequence[str],
    *,
    labels: int,
    precision: Precision,
    clock: Callable[[], float] = time.perf_counter,
) -> AsServed:
    """key: of a resident adapter with so many `labels`. texts: at least one; they are taken again from the start."""
    slot = engine.bank.lease(key)
    if slot is None:
        raise Broken(f"adapter {key} is not resident")
    try:
        singles = _time_singles(engine, slot, texts, labels, precision, clock)
        many, seconds = 0, 0.0
        while seconds < _MOST_SECONDS:
            part = [texts[(many + i) % len(texts)] for i in range(min(len(texts), 256))]
            began = clock()
            engine.score(part, key, labels=labels, precision=precision)
            seconds += clock() - began
            many += len(part)
    finally:
        engine.bank.release(key)
    p50, p95 = np.quantile(singles, (0.5, 0.95))
    return AsServed(
        precision=precision,
        provider=engine.provider.name,
        single_p50_s=float(p50),
        single_p95_s=float(p95),
        singles=len(singles),
        rows_per_s=many / seconds,
        graph_bytes=(engine.bundle / GRAPH_FILES[precision]).stat().st_size,
        adapter_bytes=engine.spec.slot_bytes,
        machine=_processor(),
        cores=usable_cores(),
    )


def _time_singles(
    engine: Engine,
    slot: int,
    texts: Sequence[str],
    labels: int,
    precision: Precision,
    clock: Callable[[], float],
) -> list[float]:
    taken: list[float] = []
    while len(taken) <= _FIRST or (len(taken) < _MOST_SINGLES and sum(taken) < _MOST_SECONDS):
        began = clock()
        rows = engine.modality.encode([texts[len(taken) % len(texts)]], truncate=True)
        softmax(engine.run(rows, [slot], precision=precision).logits[:, :labels])
        taken.append(clock() - began)
    return taken[_FIRST:]


def _processor() -> str:
    """As the system names it, such as `x86_64, AMD EPYC`."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:  # not Linux
        names = []
    return ", ".join(filter(None, (platform.machine(), *names[:1])))

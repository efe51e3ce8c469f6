"""What a base costs on this very machine: latency by length and batch, memory, and the size of its graphs.

Meant for a process of its own that has loaded nothing else (`profile_base` is picklable): the memory that a base takes
shows only where no other library has left free pages behind.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from engine.base import GRAPH_FILES
from engine.cores import usable_cores
from engine.engine import Engine
from engine.modality import EncodedRow
from engine.precision import Precision

LENGTHS = (8, 32, 128)
"""Tokens a text; the most that the base takes comes on top."""
BATCHES = (1, 8, 32)
_MOST_RUN_S = 1.5
"""A cell whose one run would take longer than this, by what the cells before took, is left out."""


@dataclass(frozen=True, slots=True)
class Latency:
    tokens: int
    """Of each text."""
    batch: int
    """Texts."""
    p50_s: float
    runs: int


@dataclass(frozen=True, slots=True)
class Profile:
    latencies: tuple[Latency, ...]
    """In fp32 with all cores; combinations that would take too long to measure are not there."""
    resident_bytes: int | None
    """By how much the process grew when it opened the base in fp32, with two adapter slots; None where the system does
    not tell."""
    graph_bytes: Mapping[Precision, int]
    cores: int
    provider: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def profile_base(bundle: Path, *, provider: str) -> Profile:
    """Open the base of a bundle and measure it, in a few seconds. Raises what Engine does."""
    before = resident_bytes()
    engine = Engine(bundle, slots=2, provider=provider)
    run_rows(engine, tokens=32, batch=8)
    after = resident_bytes()
    return Profile(
        latencies=measure_latencies(engine),
        resident_bytes=None if before is None or after is None else max(0, after - before),
        graph_bytes={name: (bundle / file).stat().st_size for name, file in GRAPH_FILES.items() if name != "bf16"},
        cores=usable_cores(),
        provider=engine.provider.name,
    )


def measure_latencies(
    engine: Engine,
    *,
    lengths: Sequence[int] = LENGTHS,
    batches: Sequence[int] = BATCHES,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Latency, ...]:
    """Every length that the base takes, and its limit, with every batch."""
    limit = engine.spec.max_tokens
    known = sorted({length for length in lengths if length < limit} | {limit})
    found: list[Latency] = []
    for tokens in known:
        for batch in batches:
            per_token = max((one.p50_s / (one.tokens * one.batch) for one in found[-1:]), default=0.0)
            if per_token * tokens * batch <= _MOST_RUN_S:
                found.append(measure_latency(engine, tokens=tokens, batch=batch, clock=clock))
    return tuple(found)


def measure_latency(
    engine: Engine,
    *,
    tokens: int,
    batch: int,
    cell_s: float = 0.25,
    least_runs: int = 3,
    most_runs: int = 25,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """The median of the runs that fit into `cell_s`, after one that does not count."""
    run_rows(engine, tokens=tokens, batch=batch)
    took: list[float] = []
    while len(took) < least_runs or (sum(took) < cell_s and len(took) < most_runs):
        began = clock()
        run_rows(engine, tokens=tokens, batch=batch)
        took.append(clock() - began)
    return Latency(tokens, batch, median(took), len(took))


def run_rows(engine: Engine, *, tokens: int, batch: int) -> None:
    """One batch on all cores; the time does not depend on which tokens."""
    engine.run([EncodedRow(np.ones(tokens, np.int64), 0)] * batch, [0] * batch)


def resident_bytes() -> int | None:
    """What this process holds in memory; None where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")

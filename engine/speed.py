"""How fast each precision is on this very machine: measured, because machines differ in what they favour."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from engine.base import precisions_in
from engine.engine import Engine
from engine.modality import EncodedRow
from engine.precision import Precision

_ROWS, _TOKENS = 11, 23
"""A batch as serving makes them: about 256 tokens, in texts of usual length."""


def offered_precisions(engine: Engine) -> tuple[Precision, ...]:
    """What this machine can compute in, of what the engine's base holds a graph for; fp32 first."""
    held = precisions_in(engine.bundle)
    return tuple(precision for precision in engine.provider.precisions if precision in held)


def measure_speeds(
    engine: Engine,
    precisions: Sequence[Precision],
    *,
    rounds: int = 9,
    round_s: float = 0.08,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Precision, float]:
    """Tokens/s of each precision on one core; those that are not open yet are opened.

    Rounds take turns, so that what else the machine does hits all alike; the median of the rounds counts. A round runs
    for `round_s`, and one batch at least.
    """
    tokens = min(_TOKENS, engine.spec.max_tokens)
    rows = [EncodedRow(np.ones(tokens, np.int64), 0)] * _ROWS  # the time does not depend on which tokens

    def run_round(precision: Precision) -> float:
        batches, began = 0, clock()
        while True:
            engine.run(rows, [0] * _ROWS, precision=precision, lane=0)
            batches += 1
            took = clock() - began
            if took >= round_s:
                return batches * _ROWS * tokens / took

    for precision in precisions:
        engine.open(precision)
    found = [{precision: run_round(precision) for precision in precisions} for _ in range(rounds)]
    return {precision: median(speeds[precision] for speeds in found) for precision in precisions}

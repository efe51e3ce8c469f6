"""A profile of a real base; how long anything takes is never asserted, only what is measured and how often."""

import itertools
import json
from collections.abc import Callable

import pytest

from engine.engine import Engine
from engine.profile import BATCHES, measure_latencies, measure_latency, profile_base, resident_bytes
from tests.conftest import ImportedBase


def ticking(step_s: float) -> Callable[[], float]:
    """A clock on which each look is `step_s` later."""
    now = itertools.count()
    return lambda: next(now) * step_s


@pytest.fixture(scope="module")
def engine(tiny: ImportedBase) -> Engine:
    return Engine(tiny.bundle, slots=2, lanes=1)


def test_a_cell_is_the_median_of_as_many_runs_as_fit(engine: Engine) -> None:
    found = measure_latency(engine, tokens=8, batch=2, cell_s=1.0, clock=ticking(0.1))
    assert (found.tokens, found.batch, found.runs) == (8, 2, 10)
    assert found.p50_s == pytest.approx(0.1)


def test_a_slow_cell_is_still_run_three_times_and_a_quick_one_not_for_ever(engine: Engine) -> None:
    assert measure_latency(engine, tokens=8, batch=1, clock=ticking(5.0)).runs == 3
    assert measure_latency(engine, tokens=8, batch=1, clock=ticking(1e-6)).runs == 25


def test_lengths_end_at_what_the_base_takes(engine: Engine) -> None:
    found = measure_latencies(engine, clock=ticking(1e-3))
    assert [(one.tokens, one.batch) for one in found] == [(t, b) for t in (8, 32, 64) for b in BATCHES]


def test_what_would_take_too_long_is_left_out(engine: Engine) -> None:
    found = measure_latencies(engine, clock=ticking(0.4))  # 8 tokens take 0.4 s, so 64 of them would take 3 s
    assert {(one.tokens, one.batch) for one in found} == {(8, 1)}


def test_a_base_is_profiled_whole(tiny: ImportedBase) -> None:
    profile = profile_base(tiny.bundle, provider="cpu").as_dict()
    assert profile["graph_bytes"]["fp32"] == (tiny.bundle / "graph.onnx").stat().st_size
    assert profile["graph_bytes"]["int8"] == (tiny.bundle / "graph.int8.onnx").stat().st_size
    assert profile["provider"] == "cpu"
    assert json.loads(json.dumps(profile))["latencies"][0]["tokens"] == 8


def test_memory_is_told_in_bytes() -> None:
    before = resident_bytes()
    if before is None:
        pytest.skip("this system has no /proc")
    held = b"\x01" * 2**26
    assert (resident_bytes() or 0) - before > len(held) // 2

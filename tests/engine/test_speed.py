"""Speeds are measured in turns, on a clock that a test may hold."""

import itertools
import shutil

import pytest

from engine.engine import Engine
from engine.speed import measure_speeds, offered_precisions
from tests.conftest import ImportedBase


class Ticking:
    """Each look at the clock is `step_s` later, whatever happens in between."""

    def __init__(self, step_s: float) -> None:
        self._now = itertools.count()
        self._step_s = step_s

    def __call__(self) -> float:
        return next(self._now) * self._step_s


def test_a_speed_is_tokens_over_time(tiny: ImportedBase) -> None:
    engine = Engine(tiny.bundle, slots=2, lanes=1)
    speeds = measure_speeds(engine, ("fp32", "int8"), rounds=3, round_s=0.05, clock=Ticking(0.1))
    assert speeds == pytest.approx({"fp32": 2530, "int8": 2530})
    assert engine.precisions == ("fp32", "int8")


def test_a_round_goes_on_until_its_time_is_over(tiny: ImportedBase, monkeypatch) -> None:
    engine = Engine(tiny.bundle, slots=2, lanes=1)
    batches = []
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda *args, **kw: (batches.append(kw["precision"]), run(*args, **kw))[1])
    measure_speeds(engine, ("fp32", "int8"), rounds=2, round_s=0.25, clock=Ticking(0.1))
    ran_int8 = batches[len(batches) - 12 :]  # opening int8 runs a few batches of its own
    assert ran_int8 == (["fp32"] * 3 + ["int8"] * 3) * 2, "the precisions take turns"


def test_only_what_the_bundle_and_the_machine_have_is_offered(tiny: ImportedBase, tmp_path) -> None:
    engine = Engine(tiny.bundle, slots=2, lanes=1)
    assert offered_precisions(engine) == engine.provider.precisions
    older = shutil.copytree(tiny.bundle, tmp_path / "older")
    (older / "graph.int8.onnx").unlink()
    assert offered_precisions(Engine(older, slots=2, lanes=1)) == ("fp32",)

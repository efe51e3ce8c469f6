"""A check costs by its window, not by what was recorded before it (design, section 11)."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

import monitor.policy
import store.review
from monitor.check import run_check
from monitor.metrics import MonitorMetrics
from monitor.schedule import Watch
from tests.monitor.conftest import MakeWorld, World
from tests.store.work import counting_steps


def steps(world: World, act: Callable[[], object]) -> int:
    with counting_steps(world.parts.database) as work:
        act()
    return work.done


def test_checks_and_ticks_ask_as_much_of_the_store_however_much_was_recorded(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.review, "REVIEWED_ROWS", 50)
    monkeypatch.setattr(monitor.policy, "COUNT_TO", 50)
    world = make_world(window_rows=120, retrain_min_labels=50, confirm_checks=1)
    watching = Watch(world.parts, MonitorMetrics(CollectorRegistry()))
    world.deploy()
    world.answer(150, audit=0.5, labelled=True)
    run_check(world.parts, "tickets")

    def check_and_tick() -> tuple[int, int]:
        world.answer(120)
        checked = steps(world, lambda: run_check(world.parts, "tickets", window_rows=120))
        world.answer(60)
        return checked, steps(world, watching.tick)

    check_before, tick_before = check_and_tick()
    world.answer(600, version=2, audit=0.5, labelled=True)
    world.answer(600, model="mails", audit=0.5, labelled=True)
    world.answer(600, version=2, audit=0.5)
    check_after, tick_after = check_and_tick()
    assert check_before > 120, "nothing was counted"
    assert check_after <= 1.1 * check_before
    assert tick_after <= 1.1 * tick_before

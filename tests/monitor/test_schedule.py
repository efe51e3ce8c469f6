from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from monitor.metrics import MonitorMetrics
from monitor.schedule import Pulse, Watch, check_due
from store.database import Database
from store.records import Version
from store.runs import NewRun, enqueue_run
from store.settings import Settings
from tests.monitor.conftest import MakeWorld, World
from tests.monitor.traffic import DRIFTED

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
QUIET = Pulse(looked_at=NOW, new_predictions=0, labels_missing=None)
SETTINGS = Settings(check_every_s=3600, check_every_predictions=500, window_min_rows=100, retrain_min_labels=500)


def watch(world: World) -> Watch:
    return Watch(world.parts, MonitorMetrics(CollectorRegistry()))


@pytest.mark.parametrize(
    ("pulse", "due"),
    [
        (QUIET, False),
        (replace(QUIET, looked_at=NOW - timedelta(seconds=3599)), False),
        (replace(QUIET, looked_at=NOW - timedelta(seconds=3600)), True),
        (replace(QUIET, new_predictions=499), False),
        (replace(QUIET, new_predictions=500), True),
        (replace(QUIET, labels_missing=1), False),
        (replace(QUIET, labels_missing=0), True),
    ],
)
def test_a_check_is_due_by_time_by_traffic_or_by_the_labels_it_waited_for(pulse: Pulse, due: bool) -> None:
    assert check_due(pulse, SETTINGS, NOW) is due


def test_traffic_alone_never_calls_for_a_check_that_could_not_judge() -> None:
    eager = Settings(check_every_predictions=10, window_min_rows=100)
    assert not check_due(replace(QUIET, new_predictions=99), eager, NOW)
    assert check_due(replace(QUIET, new_predictions=100), eager, NOW)


@given(
    seconds=st.integers(0, 10_000),
    rows=st.integers(0, 2000),
    more_s=st.integers(0, 5000),
    more_rows=st.integers(0, 500),
)
def test_what_is_due_stays_due_until_it_is_done(seconds: int, rows: int, more_s: int, more_rows: int) -> None:
    pulse = replace(QUIET, looked_at=NOW - timedelta(seconds=seconds), new_predictions=rows)
    later = replace(pulse, new_predictions=rows + more_rows)
    assert check_due(later, SETTINGS, NOW + timedelta(seconds=more_s)) >= check_due(pulse, SETTINGS, NOW)


def test_ticks_check_when_traffic_or_time_says_so(make_world: MakeWorld) -> None:
    world = make_world(check_every_predictions=150, window_rows=150)
    world.deploy()
    watching = watch(world)
    world.answer(149)
    assert watching.tick() == []
    world.answer(1)
    assert [result.window_rows for result in watching.tick()] == [150]
    assert watching.tick() == []
    world.answer(110)
    assert watching.tick() == []
    world.clock.advance(hours=1)
    assert [result.window_rows for result in watching.tick()] == [110]


def test_an_attempt_without_enough_data_is_not_repeated_at_every_tick(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    watching = watch(world)
    world.answer(30)
    world.clock.advance(hours=1)
    (result,) = watching.tick()
    assert result.check is None
    assert watching.tick() == []
    world.clock.advance(hours=1)
    assert len(watching.tick()) == 1


def test_the_labels_that_a_run_waited_for_wake_the_monitor(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=100, confirm_checks=1, check_every_predictions=200)
    world.deploy()
    watching = watch(world)
    world.answer(60, DRIFTED, audit=1.0, labelled=True)
    world.answer(140, DRIFTED)
    (waiting,) = watching.tick()
    assert waiting.policy.blockers == ("labels",)
    world.answer(39, DRIFTED, labelled=True)
    assert watching.tick() == []
    world.answer(1, version=2, labelled=True)
    (woken,) = watching.tick()
    assert woken.run is not None


def test_the_labels_that_would_tell_a_loss_wake_the_monitor(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=100, confirm_checks=1, check_every_predictions=200)
    world.deploy()
    watching = watch(world)
    drawn = world.answer(200, DRIFTED, audit=1.0)
    (waiting,) = watching.tick()
    assert waiting.policy.labels_wanted is not None
    planned = waiting.policy.labels_wanted.planned
    assert 50 < planned < 200
    world.judge(drawn[: planned - 1], correct=False)
    assert watching.tick() == []
    world.judge(drawn[planned - 1 : planned], correct=False)
    (woken,) = watching.tick()
    assert woken.policy.triggers == ("drift", "accuracy")


def test_they_wake_it_also_after_a_look_at_which_they_were_not_there(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=100, confirm_checks=1, check_every_predictions=200, check_every_s=3600)
    world.deploy()
    watching = watch(world)
    drawn = world.answer(200, DRIFTED, audit=1.0)
    watching.tick()
    world.clock.advance(hours=1)
    (silent,) = watching.tick()
    assert silent.check is None
    world.judge(drawn, correct=True)
    world.clock.advance(minutes=1)
    (woken,) = watching.tick()
    assert woken.policy.blockers == ("no_loss",)
    assert watching.tick() == []


def test_labels_that_came_during_the_cool_down_wake_the_monitor_once(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=100, confirm_checks=1, check_every_predictions=200)
    world.deploy()
    watching = watch(world)
    world.answer(60, DRIFTED, audit=1.0, labelled=True)
    world.answer(140, DRIFTED)
    watching.tick()
    with world.parts.database.write() as session:
        run = enqueue_run(session, NewRun("tickets", "minilm", "by hand", "lora", {}), by="ann", now=world.clock())
        run.status, run.ended_at = "failed", world.clock()
    world.answer(30, DRIFTED, labelled=True)
    world.answer(10, version=2, labelled=True)
    (woken,) = watching.tick()
    assert (woken.check, woken.policy.blockers) == (None, ("cooldown",))
    assert watching.tick() == []


def test_one_broken_model_does_not_keep_another_from_being_checked(make_world: MakeWorld) -> None:
    world = make_world(check_every_predictions=120)
    world.deploy("aaa")
    world.deploy("bbb")
    with world.parts.database.write() as session:
        session.get_one(Version, ("aaa", 1)).reference = "references/" + "0" * 64
    world.answer(120, model="aaa")
    world.answer(120, model="bbb")
    watching = watch(world)
    with structlog.testing.capture_logs() as logs:
        assert [result.model for result in watching.tick()] == ["bbb"]
        assert watching.tick() == []
    failed = [entry for entry in logs if entry["event"] == "check_failed"]
    assert [(entry["model"], entry["log_level"]) for entry in failed] == [("aaa", "error")], (
        "logged once, not each tick"
    )
    assert "references/0000" in failed[0]["error"]


def test_models_without_a_production_version_are_passed_over(make_world: MakeWorld) -> None:
    world = make_world()
    assert watch(world).check_all() == []


def test_a_store_that_falls_silent_is_logged_once_and_tried_again(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(120)
    silent = world.parts.settings.home / "nowhere" / "x.db"
    gone = Watch(replace(world.parts, database=Database(f"sqlite:///{silent}")), MonitorMetrics(CollectorRegistry()))
    with structlog.testing.capture_logs() as logs:
        assert gone.tick() == []
        assert gone.tick() == []
        gone._parts = world.parts  # the store is back
        assert len(gone.check_all()) == 1
    events = [entry["event"] for entry in logs]
    assert events == ["store_unavailable", "checked", "store_available_again"]


def test_gauges_are_filled_from_the_records_before_any_check_is_due(make_world: MakeWorld) -> None:
    world = make_world(confirm_checks=1)
    world.deploy()
    world.answer(120, DRIFTED, audit=0.5)
    assert len(watch(world).check_all()) == 1
    metrics = MonitorMetrics(CollectorRegistry())
    restarted = Watch(world.parts, metrics)
    assert restarted.tick() == []
    assert metrics.registry.get_sample_value("driftgate_drift_detected", {"model": "tickets"}) == 1
    assert metrics.registry.get_sample_value("driftgate_review_queue", {"model": "tickets"}) == 120

import socket
import threading
import urllib.request
from collections.abc import Callable

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from monitor.service import run_monitor
from store.errors import BadInput, StoreUnavailable
from store.settings import Settings, load_settings
from tests.monitor.conftest import MakeWorld, World
from tests.ports import free_port
from tests.waiting import until


class Turning:
    """The world's clock; turns `seen` when the monitor has read it `times` times, so that a test can wait for that."""

    def __init__(self, world: World, *, times: int = 1) -> None:
        self._world, self._times, self.seen = world, times, threading.Event()

    def __call__(self):  # type: ignore[no-untyped-def]  # a Clock
        self._times -= 1
        if self._times <= 0:
            self.seen.set()
        return self._world.clock()


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, failures


def test_once_checks_every_model_and_returns(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(120)
    (result,) = run_monitor(world.parts.settings, once=True, stop=threading.Event(), clock=world.clock)
    assert [check.id for check in world.checks()] == [result.check]


def test_the_process_ticks_serves_metrics_and_ends_when_told(make_world: MakeWorld) -> None:
    port = free_port()
    world = make_world(monitor_port=port, monitor_tick_s=0.05, check_every_predictions=100)
    world.deploy()
    world.answer(120)
    stop, clock = threading.Event(), Turning(world, times=5)  # cleaning; due? check; due? due?: the first is recorded
    thread, failures = in_thread(lambda: run_monitor(world.parts.settings, once=False, stop=stop, clock=clock))
    try:
        assert clock.seen.wait(timeout=60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
    finally:
        stop.set()
        thread.join(timeout=30)
    assert not thread.is_alive()
    assert failures == []
    assert 'driftgate_drift_detected{model="tickets"} 0.0' in page
    assert "\nprocess_resident_memory_bytes " in page
    assert len(world.checks()) == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_once_deletes_old_reports_too(make_world: MakeWorld) -> None:
    world = make_world()
    (_, old), _ = world.keep_report(days_old=91), world.keep_report(days_old=0)
    run_monitor(world.parts.settings, once=True, stop=threading.Event(), clock=world.clock)
    assert not world.has_artifact(old)


def test_the_process_deletes_old_reports(make_world: MakeWorld) -> None:
    world = make_world(monitor_port=0)
    (_, old), (_, newest) = world.keep_report(days_old=91), world.keep_report(days_old=0)
    stop = threading.Event()
    thread, failures = in_thread(lambda: run_monitor(world.parts.settings, once=False, stop=stop, clock=world.clock))
    try:
        until(lambda: not world.has_artifact(old))
    finally:
        stop.set()
        thread.join(timeout=30)
    assert failures == []
    assert world.has_artifact(newest)


def test_a_bug_in_the_tick_ends_the_process_instead_of_hiding(make_world: MakeWorld) -> None:
    world = make_world(monitor_port=0)
    world.deploy()

    def broken() -> None:
        raise ZeroDivisionError("a bug")

    stop = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.schedule.Watch.tick", lambda self: broken())
        with pytest.raises(ZeroDivisionError, match="a bug"):
            run_monitor(world.parts.settings, once=False, stop=stop)
    assert stop.is_set()


def test_a_taken_port_is_named(make_world: MakeWorld) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = make_world(monitor_port=taken.getsockname()[1]).parts.settings
        with pytest.raises(BadInput, match=r"cannot listen on 127\.0\.0\.1:\d+.*DRIFTGATE_MONITOR_PORT"):
            run_monitor(settings, once=False, stop=threading.Event())


def test_a_store_that_cannot_be_opened_is_said_at_the_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("blocked") / "a-file"
    file.write_text("not a folder")
    settings: Settings = load_settings(home=file / "home")
    with pytest.raises(StoreUnavailable, match="cannot write to DRIFTGATE_HOME"):
        run_monitor(settings, once=True, stop=threading.Event())


def test_the_scheduler_stacks_no_ticks() -> None:
    from datetime import UTC, datetime

    from monitor.schedule import schedule_ticks

    class Still:
        def tick(self) -> None: ...

    scheduler = BackgroundScheduler(timezone=UTC)
    schedule_ticks(scheduler, Still(), every_s=5.0, first=datetime.now(UTC))  # type: ignore[arg-type]  # only tick is used
    (job,) = scheduler.get_jobs()
    assert (job.max_instances, job.coalesce, job.trigger.interval_length) == (1, True, 5.0)


def test_cleaning_is_a_job_of_its_own_and_stacks_neither(make_world: MakeWorld) -> None:
    from datetime import UTC, datetime

    from monitor.schedule import schedule_cleaning

    scheduler = BackgroundScheduler(timezone=UTC)
    schedule_cleaning(scheduler, make_world().parts, first=datetime.now(UTC))
    (job,) = scheduler.get_jobs()
    assert (job.max_instances, job.coalesce, job.trigger.interval_length) == (1, True, 3600.0)

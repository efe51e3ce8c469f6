"""The monitor process: a metrics endpoint, a scheduler, and an end."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from monitor.metrics import MonitorMetrics
from monitor.parts import MonitorParts, open_monitor_parts
from monitor.record import CheckResult
from monitor.retention import clean_reports
from monitor.schedule import Watch, schedule_cleaning, schedule_ticks
from store.clock import Clock, utc_now
from store.errors import BadInput
from store.logs import get_log
from store.settings import Settings

_log = get_log("monitor")
logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a tick that finds the one before still at work is no news


def run_monitor(settings: Settings, *, once: bool, stop: threading.Event, clock: Clock = utc_now) -> list[CheckResult]:
    """Watch all models until `stop` is set; `once`: check each of them now, due or not, and return what came of it.

    Either way reports that are too old are deleted.

    Raises StoreUnavailable, SchemaMismatch, BadInput at the start. Later a silent store is waited for; a bug in the
    tick itself ends the process with its exception, because a monitor that no longer looks must not seem alive.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = MonitorMetrics(registry)
    with open_monitor_parts(settings, clock=clock) as parts:
        watch = Watch(parts, metrics)
        if once:
            results = watch.check_all()
            clean_reports(parts)
            return results
        with _metrics_endpoint(settings, metrics):
            _tick_until(stop, parts, watch)
    return []


def _tick_until(stop: threading.Event, parts: MonitorParts, watch: Watch) -> None:
    scheduler = BackgroundScheduler(timezone=UTC)
    failures: list[BaseException] = []

    def on_error(event: JobExecutionEvent) -> None:
        failures.append(event.exception)
        stop.set()

    scheduler.add_listener(on_error, EVENT_JOB_ERROR)
    every_s, now = parts.settings.monitor_tick_s, datetime.now(UTC)  # the scheduler's own clock
    schedule_ticks(scheduler, watch, every_s=every_s, first=now)
    schedule_cleaning(scheduler, parts, first=now)
    scheduler.start()
    _log.info("monitor_started", tick_s=every_s)
    try:
        stop.wait()
    finally:
        scheduler.shutdown(wait=True)
        _log.info("monitor_stopped")
    if failures:
        raise failures[0]


@contextmanager
def _metrics_endpoint(settings: Settings, metrics: MonitorMetrics) -> Iterator[None]:
    host, port = settings.host, settings.monitor_port
    try:
        server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as error:
        raise BadInput(
            f"the monitor cannot listen on {host}:{port}: {error.strerror}; set DRIFTGATE_MONITOR_PORT to a free port",
            where="monitor_port",
        ) from error
    _log.info("metrics_served", host=host, port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

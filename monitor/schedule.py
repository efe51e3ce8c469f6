"""When a check is due, and the round that looks at every model; how often old reports are cleaned away.

A round never lets one model's trouble keep another from being checked. What went wrong is logged once, by whoever
meets it: a broken model when its check was due, a silent store when it falls silent and when it is back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from apscheduler.schedulers.base import BaseScheduler
from sqlalchemy.orm import Session

from monitor.check import run_check
from monitor.facts import closed_at, gather_since_drift
from monitor.metrics import MonitorMetrics
from monitor.parts import MonitorParts
from monitor.record import CheckResult
from monitor.retention import CLEAN_EVERY_S, clean_reports
from store.checks import last_checks
from store.errors import Conflict, DriftgateError, StoreUnavailable
from store.feedback import count_labelled
from store.logs import get_log
from store.predictions import count_sampled, newest_window
from store.records import Check
from store.review import count_unlabelled_audit
from store.settings import Settings
from store.versions import Route, get_deployment, get_version, routes

_log = get_log("monitor")


@dataclass(frozen=True, slots=True)
class Pulse:
    """What tells whether a check of one model is due."""

    looked_at: datetime
    """The last look: check, attempt without enough data, or the promotion of the version."""
    new_predictions: int
    """Sampled predictions since the last look, counted up to what makes a check due."""
    labels_missing: int | None
    """How many labels are still missing of those that the last check waited for; None if it waited for none."""


def check_due(pulse: Pulse, settings: Settings, now: datetime) -> bool:
    """Due after `check_every_s`, or `check_every_predictions`, or as soon as the labels are there that were lacking."""
    if pulse.labels_missing is not None and pulse.labels_missing <= 0:
        return True
    if pulse.new_predictions >= predictions_due(settings):
        return True
    return (now - pulse.looked_at).total_seconds() >= settings.check_every_s


def predictions_due(settings: Settings) -> int:
    """New predictions that make a check due; fewer than a check can judge never do."""
    return max(settings.check_every_predictions, settings.window_min_rows)


@dataclass(frozen=True, slots=True)
class _Look:
    """An attempt that left no record; without remembering it, the next tick would try again."""

    version: int
    at: datetime
    until_seq: int
    labels_missing: bool
    """Whether the labels were not there that the last check waited for: if they come, a further look is worth it."""


class Watch:
    """Looks at every model, tick by tick. Owned by one thread at a time."""

    def __init__(self, parts: MonitorParts, metrics: MonitorMetrics) -> None:
        self._parts = parts
        self._metrics = metrics
        self._looks: dict[str, _Look] = {}
        self._store_down = False

    def tick(self) -> list[CheckResult]:
        """Check what is due."""
        return self._round(only_due=True)

    def check_all(self) -> list[CheckResult]:
        """Check every model that has a production version, due or not."""
        return self._round(only_due=False)

    def _round(self, *, only_due: bool) -> list[CheckResult]:
        results = []
        with self._store_watched():
            with self._parts.database.read() as session:
                deployed = [route for route in routes(session) if route.production is not None]
            for route in deployed:
                result = self._one(route, only_due=only_due)
                if result is not None:
                    results.append(result)
        return results

    def _one(self, route: Route, *, only_due: bool) -> CheckResult | None:
        """One model; its trouble stays its own, except that of the store, which is everybody's."""
        try:
            if only_due and not self._due(route):
                self._show(route)
                return None
            result = run_check(self._parts, route.model)
        except StoreUnavailable:
            raise
        except Conflict as conflict:
            _log.info("check_overtaken", model=route.model, reason=str(conflict))
            return None
        except Exception as error:
            self._remember(route, until_seq=self._newest_seq(route))
            if isinstance(error, DriftgateError):
                _log.error("check_failed", model=route.model, error=str(error))
            else:
                _log.exception("check_failed", model=route.model)
            return None
        if result.check is None:
            self._remember(route, until_seq=result.window_until)
        _log.info(
            "checked",
            model=result.model,
            version=result.version,
            verdict=result.drift.verdict.value,
            reason=result.drift.reason,
            window_rows=result.window_rows,
            action=result.policy.action.value,
            check=result.check,
            run=result.run,
        )
        self._show(route)
        return result

    def _due(self, route: Route) -> bool:
        with self._parts.database.read() as session:
            pulse = self._pulse(session, route)
        return check_due(pulse, self._parts.settings, self._parts.clock())

    def _pulse(self, session: Session, route: Route) -> Pulse:
        assert route.production is not None  # noqa: S101  # only deployed models come here
        model, number = route.model, route.production
        checks = last_checks(session, model, version=number, limit=1)
        decided = last_checks(session, model, version=number, limit=1, decided=True)
        look = self._looks.get(model)
        if look is not None and look.version != number:
            look = None
        looked_at = checks[-1].at if checks else get_deployment(session, model).updated_at
        until_seq = decided[-1].window_until if decided else 0
        missing = self._labels_missing(session, checks[-1]) if checks else None
        if look is not None and look.at >= looked_at and not look.labels_missing:  # something else was in the way
            missing = None
        return Pulse(
            looked_at=max(looked_at, look.at) if look else looked_at,
            new_predictions=count_sampled(
                session,
                model,
                number,
                after_seq=max(until_seq, look.until_seq) if look else until_seq,
                at_most=predictions_due(self._parts.settings),
            ),
            labels_missing=missing,
        )

    def _labels_missing(self, session: Session, check: Check) -> int | None:
        """Of those that would have let `check` ask for a run, or tell whether drift costs accuracy: of whichever are
        there first."""
        version = get_version(session, check.model, check.version)
        wanted, missing = check.decision.get("labels_wanted"), []
        if wanted is not None:
            since, planned = datetime.fromisoformat(wanted["since"]), int(wanted["planned"])
            missing.append(gather_since_drift(session, version, since, planned=planned).missing)
        if check.decision.get("blockers") == ["labels"]:
            needed, closed = self._parts.settings.retrain_min_labels, closed_at(session, version)
            missing.append(needed - count_labelled(session, check.model, after_seq=closed, at_most=needed))
        return min(missing, default=None)

    def _remember(self, route: Route, *, until_seq: int) -> None:
        assert route.production is not None  # noqa: S101  # only deployed models come here
        with self._parts.database.read() as session:
            checks = last_checks(session, route.model, version=route.production, limit=1)
            missing = self._labels_missing(session, checks[-1]) if checks else None
        self._looks[route.model] = _Look(
            route.production, self._parts.clock(), until_seq, labels_missing=missing is not None and missing > 0
        )

    def _newest_seq(self, route: Route) -> int:
        with self._parts.database.read() as session:
            newest = newest_window(session, route.model, route.production or 0, rows=1)
        return newest[-1].seq if newest else 0

    def _show(self, route: Route) -> None:
        """Gauges follow the records, so they are right after a restart and after a check that a person asked for."""
        with self._parts.database.read() as session:
            checks = last_checks(session, route.model, version=route.production, limit=1, decided=True)
            waiting = count_unlabelled_audit(session, route.model)
        self._metrics.review_queue.labels(route.model).set(waiting)
        if checks:
            self._metrics.show(checks[-1])

    @contextmanager
    def _store_watched(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable as error:
            if not self._store_down:
                _log.error("store_unavailable", error=str(error), retry_s=self._parts.settings.monitor_tick_s)
            self._store_down = True
        else:
            if self._store_down:
                _log.info("store_available_again")
            self._store_down = False


def schedule_ticks(scheduler: BaseScheduler, watch: Watch, *, every_s: float, first: datetime) -> None:
    """Tick at `first` and every `every_s` after it; a tick that is late or still running is skipped, not stacked."""
    scheduler.add_job(
        watch.tick,
        "interval",
        seconds=every_s,
        next_run_time=first,
        max_instances=1,
        coalesce=True,
        misfire_grace_time=None,
        id="tick",
    )


def schedule_cleaning(scheduler: BaseScheduler, parts: MonitorParts, *, first: datetime) -> None:
    """A job of its own: a slow object store must not keep checks waiting."""
    scheduler.add_job(
        clean_reports,
        "interval",
        args=[parts],
        seconds=CLEAN_EVERY_S,
        next_run_time=first,
        max_instances=1,
        coalesce=True,
        misfire_grace_time=None,
        id="clean",
    )

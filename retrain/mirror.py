"""Shows runs in an MLflow server as well. Our own tables stay the truth: this reads them and tells what is new.

A thread of its own looks every few seconds, so a slow or missing server never holds up a training; at the end of a run
it has `LAST_WORD_S` for the rest. What was told twice is there once: the run is found again by its tag, and times of
metrics follow from their step. A worker that starts tells the end of runs that a killed one left open there.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from math import isfinite
from typing import Any

from retrain.mlflow_api import Metric, MlflowApi
from store.comparison import environment_lines, figures
from store.database import Database
from store.errors import DriftgateError, NotFound
from store.logs import get_log
from store.records import Run, RunMetric
from store.runs import OPEN, get_run, run_metrics
from store.versions import get_adapter, get_version

EVERY_S = 2.0
LAST_WORD_S = 10.0
EXPERIMENTS = "driftgate/"
"""Runs of a model are in the experiment of this and its name."""
TAG = "driftgate.run"

_STATUS = {"queued": "SCHEDULED", "running": "RUNNING", "succeeded": "FINISHED", "rejected": "FINISHED"}
_log = get_log("mlflow")


class Mirror:
    """Tells one MLflow server of one run. Belongs to one thread."""

    def __init__(self, api: MlflowApi, database: Database, run_id: str) -> None:
        self._api = api
        self._database = database
        self._run_id = run_id
        self._there: str | None = None
        self._told: dict[tuple[str, int], float] = {}
        self._tags: dict[str, object] = {}
        self._parameters: dict[str, object] = {}

    def tell(self) -> None:
        """Bring the server up to what our tables say now. Raises MlflowUnavailable, StoreUnavailable, NotFound."""
        with self._database.read() as session:
            run = get_run(session, self._run_id)
            metrics = run_metrics(session, self._run_id)
            version = None if run.version is None else get_version(session, run.model, run.version)
            adapter = None if version is None else get_adapter(session, version).artifact
        if self._there is None:
            self._there = self._find_or_create(run)
        new = [
            metric for metric in metrics_of(run, metrics) if self._told.get((metric.key, metric.step)) != metric.value
        ]
        tags, parameters = tags_of(run, adapter), parameters_of(run)
        self._api.log(
            self._there,
            metrics=new,
            parameters=parameters if parameters != self._parameters else {},
            tags=tags if tags != self._tags else {},
        )
        self._told |= {(metric.key, metric.step): metric.value for metric in new}
        self._tags, self._parameters = tags, parameters
        if run.status not in OPEN:
            ended = None if run.ended_at is None else _ms(run.ended_at)
            self._api.update_run(self._there, status=_STATUS.get(run.status, "FAILED"), end_ms=ended)

    def _find_or_create(self, run: Run) -> str:
        experiment = self._api.experiment(EXPERIMENTS + run.model)
        for found in self._api.find_runs([experiment], f"tags.`{TAG}` = '{run.id}'"):
            return str(found["info"]["run_id"])
        return self._api.create_run(
            experiment, run.id, start_ms=_ms(run.started_at or run.created_at), tags={TAG: run.id}
        )


@contextmanager
def mirrored(uri: str, database: Database, run_id: str, on_failure: Callable[[], object]) -> Iterator[None]:
    """Mirrors a run while the block carries it out.

    on_failure: called for each time that the server could not be told. It never reaches the run.
    """
    stop = threading.Event()
    follow = partial(_follow, uri, database, run_id, stop, on_failure)
    thread = threading.Thread(target=follow, name="mlflow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LAST_WORD_S)
        if thread.is_alive():
            on_failure()
            _log.warning("mlflow_not_told", run=run_id, detail=f"it took more than {LAST_WORD_S:.0f} s for the rest")


def catch_up(uri: str, database: Database) -> None:
    """Tell the server the end of runs that it takes for running. Raises MlflowUnavailable, StoreUnavailable."""
    with MlflowApi(uri) as api:
        experiments = api.experiments_like(EXPERIMENTS + "%")
        open_there = api.find_runs(experiments, "attributes.status = 'RUNNING'") if experiments else []
        for found in open_there:
            run_id = next((tag["value"] for tag in found["data"].get("tags", []) if tag["key"] == TAG), None)
            if run_id is not None and _has_ended(database, run_id):
                Mirror(api, database, run_id).tell()


def catch_up_aside(uri: str, database: Database, on_failure: Callable[[], object]) -> None:
    """`catch_up` in a thread, so that no worker waits for it."""

    def work() -> None:
        try:
            catch_up(uri, database)
        except DriftgateError as error:
            on_failure()
            _log.warning("mlflow_not_told", detail=str(error))

    threading.Thread(target=work, name="mlflow", daemon=True).start()


def metrics_of(run: Run, metrics: list[RunMetric]) -> list[Metric]:
    """Figures by step, and those of the evaluation at the last step."""
    start = _ms(run.started_at or run.created_at)
    found = [Metric(metric.name, metric.value, metric.step, start + metric.step) for metric in metrics]
    last = max((metric.step for metric in metrics), default=0)
    judged = {name: value for name, value in figures(run.evaluation).items() if isinstance(value, int | float)}
    found += [Metric(f"evaluation.{name}", float(value), last, start + last) for name, value in judged.items()]
    return [metric for metric in found if isfinite(metric.value)]


def parameters_of(run: Run) -> dict[str, object]:
    """What was asked for and the plan that was made of it; fixed from the training on."""
    plan = run.environment.get("plan")
    return (
        {} if plan is None else {**{name: value for name, value in run.parameters.items() if name not in plan}, **plan}
    )


def tags_of(run: Run, adapter: str | None) -> dict[str, object]:
    environment = environment_lines(run.environment)
    tags: dict[str, Any] = {
        TAG: run.id,
        "driftgate.model": run.model,
        "driftgate.base": run.base,
        "driftgate.cause": run.cause,
        "driftgate.outcome": run.status,
        "driftgate.reason": run.reason,
        "driftgate.snapshot": run.snapshot,
        "driftgate.version": run.version,
        "driftgate.adapter": adapter,
        "mlflow.source.name": "driftgate",
        "mlflow.source.git.commit": environment.get("git.revision"),
        **{f"environment.{name}": value for name, value in environment.items()},
    }
    return {name: value for name, value in tags.items() if value is not None}


def _follow(uri: str, database: Database, run_id: str, stop: threading.Event, on_failure: Callable[[], object]) -> None:
    said = False
    with MlflowApi(uri) as api:
        mirror = Mirror(api, database, run_id)
        last = False
        while not last:
            last = stop.wait(EVERY_S)
            try:
                mirror.tell()
            except DriftgateError as error:
                on_failure()
                if not said:
                    _log.warning("mlflow_not_told", run=run_id, detail=str(error))
                said = True


def _has_ended(database: Database, run_id: str) -> bool:
    with database.read() as session:
        try:
            return get_run(session, run_id).status not in OPEN
        except NotFound:  # of another store that tells the same server
            return False


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)

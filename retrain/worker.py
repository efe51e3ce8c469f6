"""The worker process: takes queued runs from the store, one at a time, and carries each to its verdict."""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from engine.base import spec_from_json
from retrain.audit import look_with
from retrain.dataset import Row, read_labels, read_rows
from retrain.licence import require_licence_of
from retrain.metrics import WorkerMetrics
from retrain.snapshot import build_snapshot, load_snapshot, store_snapshot
from retrain.split import keep_splits
from retrain.strategy import plan_training
from retrain.work_folder import sweep_work_folders
from store.artifacts import ArtifactStore, open_artifacts
from store.bases import get_base
from store.clock import Clock, utc_now
from store.database import Database, open_database
from store.errors import BadInput, Broken, Conflict, DriftgateError, StoreUnavailable
from store.feedback import last_feedback_seq
from store.ids import new_id
from store.logs import get_log
from store.records import Deployment
from store.runs import LeaseLost, NewRun, claim_next_run, enqueue_run, is_run_waiting, require_base
from store.settings import Settings
from store.versions import check_name, get_version

_AUDIT_SHARE = 0.01
"""Of the whole, when a run from a file begins."""

_log = get_log("worker")


def run_worker(settings: Settings, *, once: bool, stop: threading.Event, clock: Clock = utc_now) -> None:
    """Work until `stop` is set; with `once`, until no run is queued."""
    calm_threads()
    database = open_database(settings)
    artifacts = open_artifacts(settings)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = WorkerMetrics(registry)
    server = None
    if not once:
        server = _serve_metrics(settings, registry)
    owner = name_owner(clock)
    try:
        sweep_work_folders(settings.home, database)
        if settings.mlflow_uri is not None:
            from retrain.mirror import catch_up_aside

            catch_up_aside(settings.mlflow_uri.get_secret_value(), database, metrics.mlflow_failures.inc)
        while not stop.is_set():
            worked = _work_once(settings, database, artifacts, owner, metrics, clock, stop)
            if worked:
                continue
            if once:
                return
            stop.wait(settings.worker_poll_s)
    finally:
        if server is not None:
            server.shutdown()
        database.close()


def _serve_metrics(settings: Settings, registry: CollectorRegistry) -> WSGIServer:
    try:
        server, _ = start_http_server(settings.worker_port, addr=settings.host, registry=registry)
    except OSError as error:
        raise BadInput(
            f"cannot listen on {settings.host}:{settings.worker_port} for metrics: {error.strerror}; "
            "set DRIFTGATE_WORKER_PORT to a free port"
        ) from error
    _log.info("metrics_served", host=settings.host, port=server.server_port)
    return server


def train_now(
    settings: Settings,
    database: Database,
    artifacts: ArtifactStore,
    *,
    base: str,
    model: str,
    data: Path,
    text_column: str = "text",
    label_column: str = "label",
    group_column: str | None = None,
    time_column: str | None = None,
    split_column: str | None = None,
    allowed_labels: Path | None = None,
    strategy: str = "auto",
    epochs: int | None = None,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    promote: bool = False,
    progress: Callable[[str, float], None],
    clock: Clock = utc_now,
) -> dict[str, Any]:
    """Train a version from a file, here and now; if this process dies a worker carries the run on.

    parameters: of the training, in place of what the recipe says (retrain.strategy.TrainingPlan). allowed_labels: a
    file with all labels that rows may have. Returns what `driftgate train --json` prints. Raises BadInput for unusable
    data; Refused, also for a base that must not be trained on; Conflict, NotFound.
    """
    from retrain.execute import execute_run
    from retrain.holding import Worker
    from retrain.shortage import told_full_disk

    calm_threads()
    began = time.monotonic()
    check_name(model)
    with database.read() as session:
        require_base(session, model, base, production=promote)  # queueing asks again, after what the data takes
        known = get_base(session, base)
        spec = spec_from_json(known.spec)
        until = last_feedback_seq(session, model)
    require_licence_of(known, settings.denied_licences)
    if twice := sorted({"seed", "epochs"} & (parameters or {}).keys()):
        raise BadInput(f"{twice[0]} is an option of its own: --{twice[0]}", where=twice[0])
    overrides: dict[str, Any] = {**(parameters or {}), "seed": seed} | ({"epochs": epochs} if epochs else {})
    rows = read_rows(
        data,
        text_column=text_column,
        label_column=label_column,
        group_column=group_column,
        time_column=time_column,
        split_column=split_column,
    )
    named = "lora" if strategy == "auto" else strategy  # what is chosen later takes the same parameters
    plan_training(spec, named, overrides, rows=len(rows), epochs=settings.train_epochs, seed=seed)
    with told_full_disk(settings.home):
        content = build_snapshot(
            _keep_splits(rows, database, artifacts, model),
            [],
            seed=seed,
            look=look_with(
                artifacts.fetch(known.artifact),
                settings.home / "cache" / "features",
                progress=lambda share: progress("audit", _AUDIT_SHARE * share),
            ),
            allowed_labels=None if allowed_labels is None else read_labels(allowed_labels),
            own_split=split_column is not None,
        )
        snapshot = store_snapshot(
            database, artifacts, content, model=model, parent=None, feedback_until=until, now=clock()
        )
    owner = name_owner(clock)
    asked = NewRun(
        model=model,
        base=base,
        cause=f"a person asked for it, with {data.name}",
        strategy=strategy,
        parameters={**overrides, "snapshot": snapshot, "promote": promote, "requires_improvement": False},
    )
    with database.write() as session:
        run_id = enqueue_run(session, asked, by="cli", now=clock()).id
        run = claim_next_run(
            session,
            owner=owner,
            lease_s=settings.run_lease_s,
            max_attempts=settings.run_max_attempts,
            now=clock(),
            run_id=run_id,
        )
    if run is None:
        raise Conflict(f"run {run_id} was taken by another worker; follow it with: driftgate run show {run_id}")
    with _shown_to_mlflow(settings, database, run.id, lambda: None):
        result = execute_run(Worker(settings, database, artifacts, clock, owner), run, progress)
    return {**result, "seconds": round(time.monotonic() - began, 2)}


def _keep_splits(rows: list[Row], database: Database, artifacts: ArtifactStore, model: str) -> list[Row]:
    """Texts that the production version's snapshot holds stay in their split, so that none leaks into a test."""
    with database.read() as session:
        deployment = session.get(Deployment, model)
        number = None if deployment is None else deployment.production
        parent = None if number is None else get_version(session, model, number).snapshot
    if parent is None:
        return rows
    return keep_splits(rows, load_snapshot(database, artifacts, parent))


def calm_threads() -> None:
    """Let OpenMP's threads sleep instead of spin while they wait: a worker shares its machine with the server.

    Must be called before torch is first imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def name_owner(clock: Clock) -> str:
    """Who holds a lease: this very process."""
    return f"{socket.gethostname()}:{os.getpid()}:{new_id(clock())[-8:]}"


def _shown_to_mlflow(
    settings: Settings, database: Database, run_id: str, on_failure: Callable[[], object]
) -> AbstractContextManager[None]:
    """Where no server is set, nothing of it is even imported."""
    if settings.mlflow_uri is None:
        return nullcontext()
    from retrain.mirror import mirrored

    return mirrored(settings.mlflow_uri.get_secret_value(), database, run_id, on_failure)


def _work_once(
    settings: Settings,
    database: Database,
    artifacts: ArtifactStore,
    owner: str,
    metrics: WorkerMetrics,
    clock: Clock,
    stop: threading.Event,
) -> bool:
    """Take and carry out one run; whether there was one."""
    try:
        with database.read() as session:
            if not is_run_waiting(session, now=clock()):
                return False
        # A worker that has nothing to do stays small. Loaded before the claim: on a busy machine it takes longer than
        # a lease, which nobody renews yet.
        from retrain.execute import execute_run
        from retrain.holding import Stopping, Worker

        with database.write() as session:
            run = claim_next_run(
                session,
                owner=owner,
                lease_s=settings.run_lease_s,
                max_attempts=settings.run_max_attempts,
                now=clock(),
            )
    except Broken as error:
        _log.error("queue_unreadable", detail=str(error))
        return False
    if run is None:
        return False
    started = time.monotonic()
    _log.info("run_claimed", run=run.id, model=run.model, stage=run.stage)
    outcome = "failed"
    try:
        worker = Worker(settings, database, artifacts, clock, owner, stop)
        with _shown_to_mlflow(settings, database, run.id, metrics.mlflow_failures.inc):
            result = execute_run(worker, run, lambda stage, share: None)
        outcome = "succeeded" if result["outcome"] == "promote" else "rejected"
        _log.info("run_ended", run=run.id, model=run.model, outcome=outcome, version=result["version"])
    except LeaseLost as error:
        _log.error("lease_lost", run=run.id, detail=str(error))
        return True
    except Stopping as error:
        _log.info("run_handed_back", run=run.id, detail=str(error))
        return False
    except StoreUnavailable as error:
        _log.error("run_interrupted", run=run.id, detail=str(error))
        return False
    except DriftgateError as error:
        _log.error("run_failed", run=run.id, model=run.model, detail=str(error))
    metrics.runs.labels(model=run.model, outcome=outcome).inc()
    metrics.run_seconds.observe(time.monotonic() - started)
    return True

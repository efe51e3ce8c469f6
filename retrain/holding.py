"""The hold of one worker on the run that it carries out: its lease, and word of how far the run has come."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from store.artifacts import ArtifactStore
from store.clock import Clock
from store.database import Database
from store.errors import Broken, Conflict
from store.records import Run
from store.runs import LeaseLost, renew_lease, report_progress
from store.settings import Settings

Progress = Callable[[str, float], None]
"""Called with the stage and the share of the whole run that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What executing a run needs."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    clock: Clock
    owner: str
    stop: threading.Event = field(default_factory=threading.Event)
    """Once set, a run is handed back at the next step."""


class Stopping(Conflict):
    kind = "stopping"
    title = "The worker stops"


class Heartbeat:
    """Renews the lease while a run is carried out; notes when it is lost."""

    def __init__(self, worker: Worker, run_id: str) -> None:
        self._worker = worker
        self._run_id = run_id
        self._stop = threading.Event()
        self._lost: LeaseLost | None = None
        self._renewed_s = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises LeaseLost once the run belongs to somebody else.

        A worker that slept for longer than its lease asks before it goes on: its next beat may be seconds away.
        """
        if self._lost is not None:
            raise self._lost
        if time.monotonic() - self._renewed_s > self._worker.settings.run_lease_s:
            self.confirm()

    def confirm(self) -> None:
        """Renew the lease now. Raises LeaseLost, StoreUnavailable."""
        lease_s = self._worker.settings.run_lease_s
        with self._worker.database.write() as session:
            renew_lease(session, self._run_id, owner=self._worker.owner, lease_s=lease_s, now=self._worker.clock())
        self._renewed_s = time.monotonic()

    def _beat(self) -> None:
        while not self._stop.wait(self._worker.settings.run_lease_s / 4):
            try:
                self.confirm()
            except LeaseLost as error:
                self._lost = error
                return
            except Broken:
                continue  # the store is down for a moment; the lease lasts for several beats


class Reporter:
    """Tells the store and the person at the terminal how far a run has come, a few times a second at most."""

    _EVERY_S = 0.5

    def __init__(self, worker: Worker, run: Run, progress: Progress, heartbeat: Heartbeat) -> None:
        self._worker = worker
        self._run = run
        self._progress = progress
        self._heartbeat = heartbeat
        self._last = float("-inf")
        self._stage = run.stage

    def __call__(self, stage: str, share: float, **values: Any) -> None:
        self._heartbeat.check()
        if self._worker.stop.is_set():
            raise Stopping(f"run {self._run.id} is handed back in stage {stage!r}; a worker will carry it on")
        self._progress(stage, share)
        if not values and stage == self._stage and time.monotonic() - self._last < self._EVERY_S:
            return
        self._stage = stage
        self._last = time.monotonic()
        with self._worker.database.write() as session:
            report_progress(session, self._run.id, owner=self._worker.owner, stage=stage, progress=share, values=values)

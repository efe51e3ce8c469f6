"""Continuous, length-aware batching: as soon as the engine is free it takes the oldest row and its nearest in length.

The queue belongs to the batcher and is bounded in tokens; a full queue refuses with Busy (429). Rows of one request
are queued one by one, so they pack with the rows of others. Rows whose caller has given up (was cancelled, by its
deadline or because nobody listens any more) leave the queue.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.engine import BatchResult, Engine
from engine.modality import EncodedRow
from engine.packing import plan_batch
from server.metrics import ServerMetrics
from store.errors import Busy
from store.logs import get_log

PLAN_AHEAD_ROWS = 512
"""How many waiting rows, oldest first, a plan may choose from."""

_log = get_log("batching")


@dataclass(frozen=True, slots=True)
class RowResult:
    logits: NDArray[np.float32]
    """[max_labels]"""
    sketch: NDArray[np.float32]
    """[SKETCH_DIM]"""


class _Request:
    """Rows that hold one lease together; the lease ends when none of them waits or runs any more."""

    __slots__ = ("_left", "_release")

    def __init__(self, rows: int, release: Callable[[], None]) -> None:
        self._left = rows
        self._release = release

    def row_ended(self) -> None:
        """Called under the batcher's lock."""
        self._left -= 1
        if self._left == 0:
            self._release()


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    row: EncodedRow
    slot: int
    request: _Request
    done: "asyncio.Future[RowResult]"
    queued_at: float


class Batcher:
    """One engine, one thread that runs it, one queue before it."""

    def __init__(self, engine: Engine, *, budget_tokens: int, queue_tokens: int, metrics: ServerMetrics) -> None:
        """budget_tokens: tokens a batch, padding included. queue_tokens: tokens that may wait."""
        self._engine = engine
        self._budget_tokens = budget_tokens
        self._queue_tokens = queue_tokens
        self._metrics = metrics
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []
        self._waiting_tokens = 0
        self._tokens_per_s = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    async def submit(self, rows: Sequence[EncodedRow], slot: int, release: Callable[[], None]) -> list[RowResult]:
        """Results in the order of `rows`. `release` ends the lease on `slot` and is called once, whatever happens.

        Raises Busy when the queue is full.
        """
        loop = asyncio.get_running_loop()
        request = _Request(len(rows), release)
        now = time.perf_counter()
        jobs = [_Job(row, slot, request, loop.create_future(), now) for row in rows]
        try:
            self._enqueue(jobs)
        except Busy:
            release()
            raise
        try:
            return await asyncio.gather(*(job.done for job in jobs))
        finally:
            self._withdraw(jobs)

    def close(self) -> None:
        """Finish what waits, then stop the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _enqueue(self, jobs: Sequence[_Job]) -> None:
        tokens = sum(job.row.length_tokens for job in jobs)
        with self._changed:
            if self._waiting and self._waiting_tokens + tokens > self._queue_tokens:
                wait_s = self._waiting_tokens / self._tokens_per_s if self._tokens_per_s else 1.0
                raise Busy(
                    f"{self._waiting_tokens} tokens wait already and the queue holds {self._queue_tokens}; "
                    f"try again in about {max(1, round(wait_s))} s",
                    retry_after_s=max(1, round(wait_s)),
                )
            self._waiting.extend(jobs)
            self._count(tokens)
            self._changed.notify()

    def _withdraw(self, jobs: Sequence[_Job]) -> None:
        """Take what still waits of these out of the queue: nobody wants it any more."""
        if all(job.done.done() and not job.done.cancelled() for job in jobs):
            return
        given_up = set(jobs)
        with self._changed:
            gone = [job for job in self._waiting if job in given_up]
            self._waiting = [job for job in self._waiting if job not in given_up]
            self._count(-sum(job.row.length_tokens for job in gone))
            for job in gone:
                job.request.row_ended()

    def _work(self) -> None:
        while batch := self._next_batch():
            started = time.perf_counter()
            try:
                result = self._engine.run([job.row for job in batch], [job.slot for job in batch])
            except Exception as error:  # a batch that fails must answer its callers; the thread goes on
                _log.error("batch_failed", rows=len(batch), exc_info=error)
                self._deliver(batch, [error] * len(batch))
            else:
                self._observe(batch, result, started, time.perf_counter())
                sketches = self._engine.sketch(result.pooled)
                self._deliver(batch, map(RowResult, result.logits, sketches))
            with self._changed:
                for job in batch:
                    job.request.row_ended()

    def _next_batch(self) -> list[_Job]:
        """The rows that run next; empty when the batcher is closed."""
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return []
                self._changed.wait()
            ahead = self._waiting[:PLAN_AHEAD_ROWS]
            plan = plan_batch([job.row.length_tokens for job in ahead], budget_tokens=self._budget_tokens)
            batch = [ahead[i] for i in plan]
            chosen = set(plan)
            self._waiting = [job for i, job in enumerate(self._waiting) if i not in chosen]
            self._count(-sum(job.row.length_tokens for job in batch))
            return batch

    def _deliver(self, batch: Sequence[_Job], outcomes: Iterable[RowResult | Exception]) -> None:
        by_loop = list(zip(batch, outcomes, strict=True))

        def settle() -> None:
            for job, outcome in by_loop:
                if job.done.done():
                    continue
                if isinstance(outcome, Exception):
                    job.done.set_exception(outcome)
                else:
                    job.done.set_result(outcome)

        try:
            batch[0].done.get_loop().call_soon_threadsafe(settle)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _log.info("answers_undelivered", rows=len(batch))

    def _observe(self, batch: Sequence[_Job], result: BatchResult, started: float, ended: float) -> None:
        tokens = sum(job.row.length_tokens for job in batch)
        rate = tokens / max(ended - started, 1e-6)
        self._tokens_per_s = rate if not self._tokens_per_s else 0.9 * self._tokens_per_s + 0.1 * rate
        self._metrics.batch_size.observe(len(batch))
        self._metrics.batch_tokens.observe(result.padded_tokens)
        self._metrics.padding_ratio.observe(1 - tokens / result.padded_tokens)
        for job in batch:
            self._metrics.queue_seconds.observe(started - job.queued_at)

    def _count(self, tokens: int) -> None:
        self._waiting_tokens += tokens
        self._metrics.queue_tokens.set(self._waiting_tokens)

"""Continuous, length-aware batching: as soon as a lane of the engine is free it takes the rows whose turn it is.

The queue belongs to the batcher and is bounded in tokens; a full queue refuses with Busy (429). Rows of one request
are queued one by one, so they pack with the rows of others and spread over the lanes. Rows whose caller has given up
(by its deadline, or because nobody listens any more) leave the queue. There is one thread a lane; it waits on a
condition while nothing is to do, and holds no lock while a batch runs.

Handing a batch to a thread and its answers back costs a millisecond or two while the threads compete for the
interpreter, and half a millisecond while nothing else is to do. A batch that takes less runs where it is, on the event
loop, together with all that arrived in the same turn of the loop. So does a short one of a caller that asks one thing
after the other and is alone: there is nobody whom the loop keeps waiting meanwhile.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.classification import softmax_rows
from engine.engine import SPARE, WIDE, BatchResult, Engine
from engine.modality import EncodedRow
from engine.packing import share_of_budget
from engine.precision import Precision
from server.metrics import ServerMetrics
from server.waiting import Waiting, priority_class
from store.errors import Broken, Busy
from store.logs import get_log

ALONE_AFTER = 3
"""Requests in a row that found nothing to do before the engine takes it that there is one caller only."""

INLINE_S = 0.001
"""A batch that is expected to take less runs on the event loop."""
INLINE_ALONE_S = 0.01
"""The same for a caller that is alone, on one core; with all of them it takes less."""

_log = get_log("batching")


class BadAnswer(Broken):
    kind = "bad-answer"
    title = "No usable answer"


@dataclass(frozen=True, slots=True)
class Ask:
    """Rows that one caller wants answered together, and what the batcher must know of them."""

    rows: Sequence[EncodedRow]
    slot: int
    """The leased slot of their adapter."""
    classes: int
    model: str
    precision: Precision = "fp32"
    priority: int = 0
    """As the Open Inference Protocol has it: 0 the default, 1 the highest, larger is lower."""
    caller: Hashable = None
    """The connection that it came by, if that is known."""


@dataclass(frozen=True, slots=True)
class RowResult:
    probabilities: NDArray[np.float32]
    """[classes]"""
    sketch: NDArray[np.float32]
    """[SKETCH_DIM]"""


class _Request:
    """Rows that hold one lease together; the lease ends when none of them waits or runs any more."""

    __slots__ = ("ask", "done", "left", "queued_at", "release", "results")

    def __init__(self, ask: Ask, done: "asyncio.Future[list[RowResult]]", release: Callable[[], None]) -> None:
        self.ask = ask
        self.done = done
        self.release = release
        self.left = len(ask.rows)
        """Rows that wait or run; guarded by the batcher's lock."""
        self.results: dict[int, RowResult] = {}
        """By index of the row; touched by the event loop only."""
        self.queued_at = time.perf_counter()

    def settle(self, index: int, outcome: RowResult | Exception) -> None:
        """Hand over one row's result, and all of them to the caller once they are whole."""
        if self.done.done():
            return
        if isinstance(outcome, Exception):
            self.done.set_exception(outcome)
            return
        self.results[index] = outcome
        if len(self.results) == len(self.ask.rows):
            self.done.set_result([self.results[i] for i in range(len(self.results))])


class _Job:
    """One row of a request, in the queue or in a batch."""

    __slots__ = ("index", "length_tokens", "model", "precision", "priority", "request", "row")

    def __init__(self, request: _Request, index: int, row: EncodedRow, priority: int) -> None:
        self.request = request
        self.index = index
        self.row = row
        self.length_tokens = row.length_tokens
        self.model = request.ask.model
        self.precision = request.ask.precision
        self.priority = priority


class Callers:
    """Who asked of late, whatever they asked for: the batchers of one event loop share it.

    Whoever waits for the event loop cannot be seen from it, so that two callers who take turns would look like one who
    is alone; their connections tell them apart.
    """

    __slots__ = ("_in_a_row", "_last")

    def __init__(self) -> None:
        self._last: Hashable = None
        self._in_a_row = 0

    def note(self, caller: Hashable) -> None:
        self._in_a_row = self._in_a_row + 1 if caller is not None and caller == self._last else 0
        self._last = caller

    @property
    def only_one(self) -> bool:
        """The event loop has nobody else to look after."""
        return self._in_a_row >= ALONE_AFTER


class Batcher:
    """One engine, a thread for each of its lanes, one queue before them."""

    def __init__(
        self,
        engine: Engine,
        *,
        budget_tokens: int,
        queue_tokens: int,
        metrics: ServerMetrics,
        base: str,
        callers: Callers,
    ) -> None:
        """budget_tokens: of a batch, padding at what it costs. queue_tokens: that may wait. base: for metrics."""
        self._engine = engine
        self._budget_tokens = budget_tokens
        self._metrics = metrics
        self._queue_tokens = metrics.queue_tokens.labels(base=base)
        metrics.queue_limit_tokens.labels(base=base).set(queue_tokens)
        self._changed = threading.Condition()
        self._waiting: Waiting[_Job] = Waiting(limit_tokens=queue_tokens)
        self._running = 0
        """Lanes that run a batch."""
        self._callers = callers
        self._alone = 0
        """Requests in a row that found nothing waiting and nothing running."""
        self._tokens_per_s = sum(cost.tokens_per_s for cost in engine.run_costs.values()) / len(engine.run_costs)
        """Of one lane, a moving average."""
        self._inline_planned = False
        """Whether the event loop is to run what waits; touched by the event loop only."""
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"lane-{lane}", daemon=True)
            for lane in range(engine.lanes)
        ]
        for thread in self._threads:
            thread.start()

    def has_room(self, model: str) -> bool:
        """Whether a small request of `model` would be taken now."""
        with self._changed:
            return not len(self._waiting) or self._waiting.has_room(model)

    def refuse_if_full(self, model: str, *, at_least_tokens: int) -> None:
        """Raises Busy if a request of `model` would not be taken: before any more work is put into it."""
        with self._changed:
            self._check_room(model, request_tokens=at_least_tokens)

    async def submit(self, ask: Ask, release: Callable[[], None]) -> list[RowResult]:
        """Results in the order of `ask.rows`; a caller that is cancelled frees its place.

        release: ends the lease on the slot; called once, whatever happens. Raises Busy when the queue is full.
        """
        request = _Request(ask, asyncio.get_running_loop().create_future(), release)
        priority = priority_class(ask.priority)
        jobs = [_Job(request, i, row, priority) for i, row in enumerate(ask.rows)]
        try:
            self._enqueue(ask, jobs)
        except Busy:
            release()
            raise
        try:
            return await request.done
        except BaseException:  # cancelled, or one of its rows failed: nobody wants the others
            self._withdraw(jobs)
            raise

    def close(self) -> None:
        """Finish what waits, then stop the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def _enqueue(self, ask: Ask, jobs: Sequence[_Job]) -> None:
        self._callers.note(ask.caller)
        with self._changed:
            waiting = self._waiting
            self._check_room(ask.model, request_tokens=sum(job.length_tokens for job in jobs))
            self._alone = 0 if self._running or len(waiting) else self._alone + 1
            waiting.add(jobs)
            self._queue_tokens.set(waiting.tokens)
            inline = self._lane_of_loop(ask.precision) is not None
            if not inline:
                self._changed.notify(len(jobs))
        if inline:
            self._plan_inline()

    def _check_room(self, model: str, *, request_tokens: int) -> None:
        """Called under the lock. Raises Busy."""
        waiting = self._waiting
        if not len(waiting) or waiting.has_room(model, request_tokens=request_tokens):
            return
        before = waiting.tokens_before(model, request_tokens=request_tokens) or waiting.tokens
        wait_s = max(1, round(before / (self._tokens_per_s * self._engine.lanes)))
        raise Busy(
            f"{before} tokens wait already and the queue holds {waiting.limit_tokens}; try again in about {wait_s} s",
            retry_after_s=wait_s,
        )

    def _lane_of_loop(self, precision: Precision) -> int | None:
        """Where the event loop itself runs the next batch; None if the threads are to. Called under the lock."""
        cost, waiting = self._engine.run_costs[precision], self._waiting.tokens
        if cost.seconds(min(waiting, self._budget_tokens)) < INLINE_S:
            return SPARE
        alone = self._alone >= ALONE_AFTER and not self._running and self._callers.only_one
        if alone and cost.seconds(waiting) < INLINE_ALONE_S:
            return WIDE
        return None

    def _plan_inline(self) -> None:
        if not self._inline_planned:
            self._inline_planned = True
            asyncio.get_running_loop().call_soon(self._run_inline)

    def _run_inline(self) -> None:
        """Run one batch of what waits, on the event loop, which looks after its sockets before the next one."""
        self._inline_planned = False
        with self._changed:
            waiting = self._waiting
            oldest = waiting.oldest
            if oldest is None:
                return
            lane = self._lane_of_loop(oldest.precision)
            if lane is None:
                self._changed.notify(len(waiting))
                return
            batch = self._take(budget_tokens=self._budget_tokens)
            if len(waiting):
                self._plan_inline()
        _settle(batch, self._answer(batch, lane))

    def _withdraw(self, jobs: Sequence[_Job]) -> None:
        """Take what still waits of these out of the queue: nobody wants it any more."""
        with self._changed:
            self._end(self._waiting.remove(jobs))
            self._queue_tokens.set(self._waiting.tokens)

    def _end(self, jobs: Sequence[_Job]) -> None:
        """Called under the lock for rows that neither wait nor run any more."""
        for job in jobs:
            job.request.left -= 1
            if job.request.left == 0:
                job.request.release()

    def _work(self, lane: int) -> None:
        while taken := self._next_batch():
            batch, wide = taken
            outcomes = self._answer(batch, WIDE if wide else lane)
            try:
                batch[0].request.done.get_loop().call_soon_threadsafe(_settle, batch, outcomes)
            except RuntimeError:  # the loop is closed: nobody waits any more
                _log.info("answers_undelivered", rows=len(batch))

    def _next_batch(self) -> tuple[list[_Job], bool] | None:
        """The rows that run next, and whether on all cores; None when the batcher is closed."""
        with self._changed:
            while not len(self._waiting):
                if self._closing:
                    return None
                self._changed.wait()
            idle = self._engine.lanes - self._running
            budget = share_of_budget(self._waiting.tokens, idle_lanes=idle, budget_tokens=self._budget_tokens)
            batch = self._take(budget_tokens=budget)
            wide = self._alone >= ALONE_AFTER and self._running == 1 and not len(self._waiting)
            return batch, wide

    def _take(self, *, budget_tokens: int) -> list[_Job]:
        """Called under the lock."""
        batch = self._waiting.take(budget_tokens=budget_tokens, costs=self._engine.run_costs)
        self._queue_tokens.set(self._waiting.tokens)
        self._running += 1
        return batch

    def _answer(self, batch: Sequence[_Job], lane: int) -> list[RowResult | Exception]:
        """Run a batch that was taken, and end it; an outcome for each row."""
        try:
            return self._attempt(batch, lane)
        finally:
            with self._changed:
                self._running -= 1
                self._end(batch)

    def _attempt(self, batch: Sequence[_Job], lane: int) -> list[RowResult | Exception]:
        """Where a batch fails, or one answer spoils the others, its rows run apart: only the bad one fails."""
        try:
            outcomes = self._run(batch, lane)
        except Exception as error:  # it must reach the callers; whoever runs batches goes on
            _log.error("batch_failed", rows=len(batch), exc_info=error)
            if len(batch) == 1:
                return [error]
        else:
            # In int8 all rows of a batch share the scale of an activation: one that overflows takes the others along.
            spoilt = batch[0].precision != "fp32" and any(isinstance(outcome, BadAnswer) for outcome in outcomes)
            if len(batch) == 1 or not spoilt:
                return outcomes
        return self._apart(batch, lane)

    def _apart(self, batch: Sequence[_Job], lane: int) -> list[RowResult | Exception]:
        """Each adapter's rows by themselves; where there is one adapter, each row."""
        by_slot: dict[int, list[int]] = {}
        for i, job in enumerate(batch):
            by_slot.setdefault(job.request.ask.slot, []).append(i)
        parts = list(by_slot.values()) if len(by_slot) > 1 else [[i] for i in range(len(batch))]
        found: dict[int, RowResult | Exception] = {}
        for rows in parts:
            found.update(zip(rows, self._attempt([batch[i] for i in rows], lane), strict=True))
        return [found[i] for i in range(len(batch))]

    def _run(self, batch: Sequence[_Job], lane: int) -> list[RowResult | Exception]:
        began = time.perf_counter()
        slots = [job.request.ask.slot for job in batch]
        result = self._engine.run([job.row for job in batch], slots, precision=batch[0].precision, lane=lane)
        classes = [job.request.ask.classes for job in batch]
        probabilities = softmax_rows(result.logits, classes)
        usable = np.isfinite(probabilities[:, 0])
        sketches = self._engine.sketch(result.pooled)
        self._observe(batch, result, began, time.perf_counter(), lane)
        return [
            RowResult(row[:count], sketch) if ok else BadAnswer("the adapter's weights make this answer overflow")
            for row, count, sketch, ok in zip(probabilities, classes, sketches, usable, strict=True)
        ]

    def _observe(self, batch: Sequence[_Job], result: BatchResult, began: float, ended: float, lane: int) -> None:
        tokens = sum(job.length_tokens for job in batch)
        if lane != WIDE:
            self._tokens_per_s += 0.1 * (tokens / max(ended - began, 1e-6) - self._tokens_per_s)
        self._metrics.batch_size.observe(len(batch))
        self._metrics.batch_tokens.observe(result.padded_tokens)
        self._metrics.padding_ratio.observe(1 - tokens / result.padded_tokens)
        for job in batch:
            self._metrics.queue_seconds.observe(began - job.request.queued_at)


def _settle(batch: Sequence[_Job], outcomes: Sequence[RowResult | Exception]) -> None:
    """On the event loop: hand each row's outcome to its request."""
    for job, outcome in zip(batch, outcomes, strict=True):
        job.request.settle(job.index, outcome)

"""Recording: what the models saw goes to the store without ever delaying an answer.

`decide_recording` is pure: a prediction's own id is its lottery ticket, so that the same ticket decides sampling and
audit and the audit sample is a subset of what is recorded. The recorder keeps a bounded buffer and one writer; when
the store is down predictions go on, the buffer waits for the store, and what no longer fits is counted.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from server.metrics import ServerMetrics
from store.database import Database
from store.errors import StoreUnavailable
from store.logs import get_log
from store.predictions import NewPrediction, add_predictions

WRITE_ROWS = 1000
BUFFER_LETTERS = 64 * 2**20
"""Of the texts that wait to be written: rows alone would bound no memory, as a text may be as long as a request."""
_GATHER_S = 0.25
"""What comes within so long of the first row is written with it. A transaction costs as much as many rows, and takes a
core from the run beside it, which a lone caller's run, on all cores, has to wait for: twenty a second took 7 % of what
one caller got, four 2 %."""
_RETRY_S = 0.5

_log = get_log("recording")


@dataclass(frozen=True, slots=True)
class RecordChoice:
    reason: Literal["sample", "low_score", "audit"]
    """`sample` rows are a random share of the traffic; the others are not."""
    inclusion: float
    """Probability with which a row like this one is recorded."""
    audit: float | None
    """Probability of the audit draw if it was drawn, else None."""


def lottery(prediction_id: str) -> float:
    """Uniform in [0, 1), the same for the same id everywhere."""
    return int.from_bytes(sha256(prediction_id.encode()).digest()[:8]) / 2**64


def decide_recording(
    ticket: float, score: float, *, sample_rate: float, audit_rate: float, low_score: float
) -> RecordChoice | None:
    """Whether and why a prediction is recorded; None if it is not. ticket: uniform in [0, 1)."""
    low = score < low_score
    inclusion = 1.0 if low else max(sample_rate, audit_rate)
    audit = audit_rate if ticket < audit_rate else None
    if ticket < sample_rate:
        return RecordChoice("sample", inclusion, audit)
    if audit is not None:
        return RecordChoice("audit", inclusion, audit)
    return RecordChoice("low_score", inclusion, None) if low else None


class Recorder:
    """Owns the buffer of predictions on their way to the store. Used from the event loop only."""

    def __init__(self, database: Database, *, buffer_rows: int, metrics: ServerMetrics) -> None:
        self._database = database
        self._buffer_rows = buffer_rows
        self._metrics = metrics
        self._buffer: deque[NewPrediction] = deque()
        self._by_id: dict[str, NewPrediction] = {}
        self._letters = 0
        """Of the texts in the buffer."""
        self._filled = asyncio.Event()
        self._hurry = asyncio.Event()
        """There is no use in gathering any longer."""
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._store_down = False
        self._draining = False

    def offer(self, row: NewPrediction) -> bool:
        """Hand over a row without ever waiting; False, and a count, when the buffer is full."""
        if len(self._buffer) >= self._buffer_rows or self._letters + len(row.input) > BUFFER_LETTERS:
            self._metrics.dropped.labels(reason="store_down" if self._store_down else "buffer_full").inc()
            return False
        self._buffer.append(row)
        self._letters += len(row.input)
        self._by_id[row.id] = row
        self._filled.set()
        self._emptied.clear()
        if len(self._buffer) >= WRITE_ROWS:
            self._hurry.set()
        return True

    def pending(self, prediction_id: str) -> NewPrediction | None:
        """A row that was accepted and is not in the store yet."""
        return self._by_id.get(prediction_id)

    async def run(self) -> None:
        """Write what comes, until cancelled. A bug in here must end the process, so nothing else is caught."""
        while True:
            await self._filled.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_S):
                    await self._hurry.wait()
            rows = [self._buffer[i] for i in range(min(WRITE_ROWS, len(self._buffer)))]
            try:
                await asyncio.to_thread(self._write, rows)
            except StoreUnavailable as error:
                if not self._store_down:
                    _log.error("store_down", detail=str(error), waiting_rows=len(self._buffer))
                self._store_down = True
                await asyncio.sleep(_RETRY_S)
                continue
            if self._store_down:
                _log.info("store_back", waiting_rows=len(self._buffer))
            self._store_down = False
            self._metrics.recorded.inc(len(rows))
            for row in rows:
                self._buffer.popleft()
                self._letters -= len(row.input)
                del self._by_id[row.id]
            if len(self._buffer) < WRITE_ROWS and not self._draining:
                self._hurry.clear()
            if not self._buffer:
                self._filled.clear()
                self._emptied.set()

    async def drain(self, *, timeout_s: float) -> None:
        """Wait until all is written; what is left after `timeout_s` is counted as dropped and logged."""
        self._draining = True
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()
        except TimeoutError:
            reason = "store_down" if self._store_down else "buffer_full"
            self._metrics.dropped.labels(reason=reason).inc(len(self._buffer))
            _log.error("predictions_lost", rows=len(self._buffer), reason=reason)

    def _write(self, rows: list[NewPrediction]) -> None:
        with self._database.write() as session:
            add_predictions(session, rows)

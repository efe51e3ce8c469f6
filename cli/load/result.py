"""What a load measured, and the count that leads to it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Check = Callable[[int, bytes], bool]
"""Whether the body that answers the request of this number is right."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Of one window of time. A request belongs to the window when it was to be sent in it."""

    began: float
    """On the clock of time.perf_counter, which the processes of a machine share (on Linux)."""
    seconds: float
    in_window: int
    """Answers with a status of 2xx that arrived within the window, whenever they were asked for."""
    by_status: Mapping[int, int]
    wrong: int
    """Answers with a status of 2xx that the check did not accept."""
    failures: int
    """Requests without a readable answer: refused, cut off, or not answered in time."""
    unsent: int
    """Arrivals of an open loop for which there was no room to wait."""
    latencies_s: NDArray[np.float64]
    """Of the answers with a status of 2xx, in the order of their arrival."""
    lag_s: float
    """Open loop: 99th percentile of how late the generator itself was, which the latencies include."""

    @property
    def per_s(self) -> float:
        """Good answers a second."""
        return self.in_window / self.seconds

    @property
    def errors(self) -> int:
        """Requests of the window that ended in anything but a right answer."""
        bad = sum(n for status, n in self.by_status.items() if not 200 <= status < 300)
        return bad + self.wrong + self.failures + self.unsent

    def percentile_s(self, percent: float) -> float:
        """NaN when nothing was answered."""
        return float(np.percentile(self.latencies_s, percent)) if len(self.latencies_s) else float("nan")

    def percentile_ms(self, percent: float) -> float:
        return self.percentile_s(percent) * 1000


class Tally:
    """Counts answers as they come. The hot path of every load: a few microseconds an answer."""

    def __init__(self, check: Check | None) -> None:
        self._check = check
        self._statuses: Counter[int] = Counter()
        self._latencies_s: list[float] = []
        self._lags_s: list[float] = []
        self._in_window = 0
        self._wrong = 0
        self.failures = 0
        self.unsent = 0
        self.begins = float("inf")
        self.ends = float("inf")
        """The window, on the clock of time.perf_counter."""

    def open_window(self, begins: float, seconds: float) -> None:
        self.begins, self.ends = begins, begins + seconds

    def answered(self, number: int, asked: float, now: float, status: int, body: bytes) -> None:
        """number: of the request in its sequence. asked: when it was, or should have been, sent."""
        good = 200 <= status < 300
        if good and self.begins <= now < self.ends:
            self._in_window += 1
        if asked < self.begins:
            return
        self._statuses[status] += 1
        if good:
            self._latencies_s.append(now - asked)
            if self._check is not None and not self._check(number, body):
                self._wrong += 1

    def failed(self, asked: float) -> None:
        if asked >= self.begins:
            self.failures += 1

    def late(self, seconds: float) -> None:
        self._lags_s.append(seconds)

    def result(self) -> LoadResult:
        return LoadResult(
            began=self.begins,
            seconds=self.ends - self.begins,
            in_window=self._in_window,
            by_status=dict(sorted(self._statuses.items())),
            wrong=self._wrong,
            failures=self.failures,
            unsent=self.unsent,
            latencies_s=np.asarray(self._latencies_s, np.float64),
            lag_s=float(np.percentile(self._lags_s, 99)) if self._lags_s else 0.0,
        )

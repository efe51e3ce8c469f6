"""An open loop: requests arrive at a rate of their own, however the server is doing.

Latency counts from the moment a request should have been sent, so that a server which stops for a second pays for
everything that arrived meanwhile, and not just for what was under way ("coordinated omission").
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cli.load.connection import Address, Connection, connect
from cli.load.loop import run_on_fast_loop
from cli.load.result import Check, LoadResult, Tally


def arrival_times(rate_per_s: float, seconds: float, *, poisson: bool, seed: int) -> NDArray[np.float64]:
    """Seconds from the start, ascending, all below `seconds`: evenly spaced, or a Poisson process."""
    if not poisson:
        return np.arange(0, seconds, 1 / rate_per_s, dtype=np.float64)
    rng = np.random.default_rng(seed)
    count = rng.poisson(rate_per_s * seconds)
    return np.sort(rng.uniform(0, seconds, count))  # given their number, arrivals are uniform


def run_open(
    address: Address,
    requests: Sequence[bytes],
    *,
    rate_per_s: float,
    seconds: float,
    connections: int,
    poisson: bool = True,
    seed: int = 0,
    max_waiting: int = 100_000,
    tick_s: float = 0.0,
    warm_up_s: float = 0.0,
    grace_s: float = 10.0,
    check: Check | None = None,
) -> LoadResult:
    """Send `requests` in turn at `rate_per_s`, each over a free one of `connections`.

    An arrival that finds none free waits for one, and its latency with it; beyond `max_waiting` it is counted as
    unsent. The event loop's timers tick in milliseconds, so an arrival may be sent a millisecond late; `lag_s` says
    how late. tick_s: how long it rests at least after those that were due; each time that it wakes up costs the machine
    a tenth of a millisecond, at a thousand arrivals a second a tenth of a core. Raises OSError when the server takes no
    connection at the start.
    """
    times = arrival_times(rate_per_s, warm_up_s + seconds, poisson=poisson, seed=seed)
    load = _OpenLoop(address, requests, times, max_waiting, tick_s, Tally(check))
    return run_on_fast_loop(load.run(connections, warm_up_s, seconds, grace_s))


class _OpenLoop:
    def __init__(
        self,
        address: Address,
        requests: Sequence[bytes],
        times: NDArray[np.float64],
        max_waiting: int,
        tick_s: float,
        tally: Tally,
    ) -> None:
        self._address = address
        self._requests = requests
        self._times: list[float] = times.tolist()
        self._max_waiting = max_waiting
        self._tick_s = tick_s
        self._tally = tally
        self._waiting: deque[tuple[int, float]] = deque()
        """Arrivals without a connection: number and time."""
        self._idle: list[Connection] = []
        self._in_flight = 0
        self._arrived = 0
        self._began = 0.0
        self._over = asyncio.Event()

    async def run(self, connections: int, warm_up_s: float, seconds: float, grace_s: float) -> LoadResult:
        first = await asyncio.gather(*(connect(self._address, self._answered) for _ in range(connections)))
        self._idle.extend(first)
        self._began = time.perf_counter()
        self._tally.open_window(self._began + warm_up_s, seconds)
        keepers = [asyncio.create_task(self._keep(connection)) for connection in first]
        self._arrive()
        try:
            async with asyncio.timeout(warm_up_s + seconds + grace_s):
                await self._over.wait()
        except TimeoutError:
            for _, asked in self._waiting:
                self._tally.failed(asked)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        return self._tally.result()

    def _arrive(self) -> None:
        """Take in every arrival that is due, then sleep until the next one."""
        now = time.perf_counter()
        while self._arrived < len(self._times) and (asked := self._began + self._times[self._arrived]) <= now:
            number = self._arrived % len(self._requests)
            self._arrived += 1
            self._tally.late(now - asked)
            if len(self._waiting) < self._max_waiting:
                self._waiting.append((number, asked))
            elif asked >= self._tally.begins:
                self._tally.unsent += 1
            self._send_waiting()
        if self._arrived < len(self._times):
            wait_s = self._began + self._times[self._arrived] - time.perf_counter()
            asyncio.get_running_loop().call_later(max(self._tick_s, wait_s), self._arrive)
        self._end_when_done()

    def _send_waiting(self) -> None:
        while self._waiting and self._idle:
            connection = self._idle.pop()
            if not connection.closing:  # else its keeper brings another one
                number, asked = self._waiting.popleft()
                self._in_flight += 1
                connection.send(self._requests[number], number, asked)

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        self._in_flight -= 1
        self._tally.answered(connection.number, connection.asked, time.perf_counter(), status, body)
        self._idle.append(connection)
        self._send_waiting()
        self._end_when_done()

    def _end_when_done(self) -> None:
        if self._arrived == len(self._times) and not self._waiting and not self._in_flight:
            self._over.set()

    async def _keep(self, connection: Connection) -> None:
        """Replace a connection that the server ends, until the load is over."""
        while True:
            try:
                await connection.lost
            finally:
                if connection.busy:
                    connection.busy = False
                    self._in_flight -= 1
                    self._tally.failed(connection.asked)
                connection.close()
                self._end_when_done()
            connection = await self._connect_again()
            self._idle.append(connection)
            self._send_waiting()

    async def _connect_again(self) -> Connection:
        while True:
            try:
                return await connect(self._address, self._answered)
            except OSError:
                await asyncio.sleep(0.05)  # whatever waits meanwhile fails at the end, or is late

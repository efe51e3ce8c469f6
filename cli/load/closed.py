"""A closed loop: so many clients, each of which asks again as soon as it is answered.

It finds out what a server gets done at most with so many callers. It cannot show how long callers wait in an overload,
because a slow answer also delays the next question; that is what `cli/load/open.py` is for.
"""

import asyncio
import time
from collections.abc import Sequence

from cli.load.connection import Address, Connection, connect
from cli.load.loop import run_on_fast_loop
from cli.load.result import Check, LoadResult, Tally

_RETRY_S = 0.05
"""A client that cannot connect tries again after this."""


def run_closed(
    address: Address,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    warm_up_s: float = 0.0,
    grace_s: float = 10.0,
    check: Check | None = None,
) -> LoadResult:
    """Send `requests` in turn, over and over, from `clients` connections.

    The window of `seconds` opens after `warm_up_s` of the same load. What is asked in it may be answered until
    `grace_s` after its end and is a failure then. Raises OSError when the server takes no connection at the start.
    """
    load = _ClosedLoop(address, requests, Tally(check))
    return run_on_fast_loop(load.run(clients, warm_up_s, seconds, grace_s))


class _ClosedLoop:
    def __init__(self, address: Address, requests: Sequence[bytes], tally: Tally) -> None:
        self._address = address
        self._requests = requests
        self._tally = tally
        self._next = 0

    async def run(self, clients: int, warm_up_s: float, seconds: float, grace_s: float) -> LoadResult:
        first = await asyncio.gather(*(connect(self._address, self._answered) for _ in range(clients)))
        now = time.perf_counter()
        self._tally.open_window(now + warm_up_s, seconds)
        try:
            async with asyncio.timeout(warm_up_s + seconds + grace_s):
                async with asyncio.TaskGroup() as tasks:
                    for connection in first:
                        tasks.create_task(self._client(connection))
        except TimeoutError:
            pass  # each client has counted what it was still waiting for
        return self._tally.result()

    async def _client(self, connection: Connection | None) -> None:
        """Keep one client connected until the window ends."""
        while connection is not None:
            self._ask(connection, time.perf_counter())
            try:
                await connection.lost
            finally:
                if connection.busy:
                    self._tally.failed(connection.asked)
                connection.close()
            connection = await self._connect_again()

    async def _connect_again(self) -> Connection | None:
        while (asked := time.perf_counter()) < self._tally.ends:
            try:
                return await connect(self._address, self._answered)
            except OSError:
                self._tally.failed(asked)
                await asyncio.sleep(_RETRY_S)
        return None

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        now = time.perf_counter()
        self._tally.answered(connection.number, connection.asked, now, status, body)
        if not connection.closing:  # else its client connects again
            self._ask(connection, now)

    def _ask(self, connection: Connection, now: float) -> None:
        if now >= self._tally.ends:
            connection.close()
            return
        number = self._next
        self._next = (number + 1) % len(self._requests)
        connection.send(self._requests[number], number, now)

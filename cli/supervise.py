"""Keeps child processes alive until SIGTERM or SIGINT, and ends them with us.

A child that dies is started again after a growing delay. A vital one that dies before it ever settled cannot start:
then all is stopped, because trying again would only repeat its message.
"""

import asyncio
import ctypes
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.errors import Broken
from store.logs import get_log

SETTLED_S = 10.0
"""A child that lived this long has started."""
_LONGEST_DELAY_S = 30.0
_PR_SET_PDEATHSIG = 1
"""prctl(2)"""

_log = get_log("up")


class CannotStart(Broken):
    kind = "cannot-start"
    title = "A process cannot start"


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    command: tuple[str, ...]
    vital: bool = False
    """Whether nothing makes sense without it."""
    inherits: tuple[int, ...] = ()
    """File descriptors of ours that it gets under the same numbers."""


def restart_delay_s(early_deaths: int) -> float:
    """Half a second after the first death in a row, then twice as long each time, at most half a minute."""
    return float(min(_LONGEST_DELAY_S, 0.5 * 2.0 ** min(early_deaths - 1, 30)))


async def supervise(
    children: Sequence[Child],
    *,
    environment: Mapping[str, str],
    stop_timeout_s: float,
    settled_s: float = SETTLED_S,
    delay_s: Callable[[int], float] = restart_delay_s,
    ended: Callable[[int], None] = lambda pid: None,
) -> None:
    """Run `children` until a signal; each gets SIGTERM and `stop_timeout_s` to end. Raises CannotStart.

    ended: told the process id of each child that is no more.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        keepers = [
            tasks.create_task(
                _keep(child, stop, environment, stop_timeout_s, settled_s, delay_s, ended), name=child.name
            )
            for child in children
        ]
    failures = [failure for failure in (keeper.result() for keeper in keepers) if failure is not None]
    if failures:
        raise failures[0]


def end_with_parent() -> None:
    """Get SIGTERM when our parent is gone, however it went; for children that nobody else would end (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _keep(
    child: Child,
    stop: asyncio.Event,
    environment: Mapping[str, str],
    stop_timeout_s: float,
    settled_s: float,
    delay_s: Callable[[int], float],
    ended: Callable[[int], None],
) -> CannotStart | None:
    """Start `child` again and again until `stop`; returns why it cannot start, and then sets `stop` itself."""
    loop = asyncio.get_running_loop()
    early_deaths, ever_settled = 0, False
    while not stop.is_set():
        started = loop.time()
        process = await asyncio.create_subprocess_exec(*child.command, env=environment, pass_fds=child.inherits)
        try:
            await _first(process.wait(), stop.wait())
        finally:
            await _end(process, stop_timeout_s)
            ended(process.pid)
        if stop.is_set():
            return None
        settled = loop.time() - started >= settled_s
        ever_settled = ever_settled or settled
        if child.vital and not ever_settled:
            stop.set()
            return CannotStart(f"{child.name} ended with exit code {process.returncode}; its own message is above")
        early_deaths = 1 if settled else early_deaths + 1
        delay = delay_s(early_deaths)
        _log.error("child_died", child=child.name, exit_code=process.returncode, restart_in_s=delay)
        await _first(asyncio.sleep(delay), stop.wait())
    return None


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of `waits` is over, and drop the others."""
    waiting = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for left in waiting:
            left.cancel()


async def _end(process: Process, timeout_s: float) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

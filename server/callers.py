"""How long callers wait: the deadline they state, and leaving. Both free the places of what they asked for."""

import asyncio
from types import TracebackType

from starlette.requests import Request

from server.problems import CallerGone
from store.errors import BadInput

DEADLINE_HEADER = "X-Request-Timeout"

_LOOK_AFTER_S = 0.25
"""Answers that come sooner are not worth looking whether somebody still wants them: a look costs a task of its own."""


def deadline_of(request: Request) -> float | None:
    """Seconds within which the caller wants its answer, if it says so. Raises BadInput."""
    said = request.headers.get(DEADLINE_HEADER)
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise BadInput(f"{DEADLINE_HEADER}: {said[:40]!r} is no number of seconds above 0", where=DEADLINE_HEADER)
    return seconds


class Within:
    """asyncio.timeout for the common case at a quarter of its price: TimeoutError after `seconds`, if not done then."""

    __slots__ = ("_passed", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._passed = False

    def __enter__(self) -> None:
        self._task = _current_task()
        self._timer = self._task.get_loop().call_later(self._seconds, self._pass)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._passed and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError

    def _pass(self) -> None:
        self._passed = True
        self._task.cancel()


class WhileListening:
    """Cancels the block when the caller disconnects, and raises CallerGone then.

    The request's body must have been read: what comes after it can only be the end.
    """

    __slots__ = ("_gone", "_request", "_task", "_timer", "_watcher")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._task = _current_task()
        self._timer = self._task.get_loop().call_later(_LOOK_AFTER_S, self._look)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise CallerGone("the caller left before the answer was there")

    def _look(self) -> None:
        self._watcher = self._task.get_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()


def _current_task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # these stand in coroutines
    return task

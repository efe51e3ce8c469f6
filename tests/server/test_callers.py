"""Deadlines and callers that leave, on the event loop alone."""

import asyncio

import pytest
from starlette.requests import Request

from server.callers import WhileListening, Within, deadline_of
from server.problems import CallerGone
from store.errors import BadInput


def request(*, gone: asyncio.Event | None = None, timeout: str | None = None) -> Request:
    async def receive():
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    headers = [] if timeout is None else [(b"x-request-timeout", timeout.encode())]
    return Request({"type": "http", "headers": headers}, receive)


def test_what_ends_in_time_is_left_alone() -> None:
    async def main() -> str:
        with Within(30), WhileListening(request()):
            await asyncio.sleep(0)
            return "done"

    assert asyncio.run(main()) == "done"


def test_what_takes_too_long_is_cancelled_and_the_task_goes_on() -> None:
    async def main() -> bool:
        with pytest.raises(TimeoutError), Within(0.01):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling() == 0

    assert asyncio.run(main())


def test_of_two_deadlines_the_one_that_passed_is_told() -> None:
    async def main() -> None:
        with Within(30), pytest.raises(TimeoutError), Within(0.01):
            await asyncio.Event().wait()

    asyncio.run(main())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def waits() -> None:
        with Within(30), WhileListening(request()):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_caller_that_leaves_ends_the_wait() -> None:
    async def main() -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, gone.set)
        with pytest.raises(CallerGone), WhileListening(request(gone=gone)):
            await asyncio.Event().wait()

    asyncio.run(main())


@pytest.mark.parametrize("said", ["0", "-1", "inf", "nan", "soon", ""])
def test_a_deadline_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(BadInput, match="is no number of seconds above 0"):
        deadline_of(request(timeout=said))


def test_a_deadline_is_seconds() -> None:
    assert deadline_of(request(timeout="0.25")) == 0.25
    assert deadline_of(request()) is None

"""Counts prediction requests by what came of them, the same for every protocol."""

import asyncio
from types import TracebackType

from starlette.exceptions import HTTPException

from server.parts import Parts
from server.problems import CallerGone, status_of
from store.errors import DriftgateError


class counted:  # read as a verb: with counted(parts, model) as outcome
    """Count the request that the block answers in `driftgate_requests_total`: 200, or the status of what it raises."""

    __slots__ = ("_model", "_parts", "version")

    def __init__(self, parts: Parts, model: str) -> None:
        self._parts = parts
        self._model = model
        self.version = "none"
        """Set by whoever answers, once it is known which version did."""

    def __enter__(self) -> "counted":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        known = self._model if self._parts.router.knows(self._model) else "unknown"
        if error is None:
            self._parts.metrics.count_request(known, self.version, 200)
        else:
            self._parts.metrics.count_request(known, "none", _code(error))


def _code(error: BaseException) -> int:
    if isinstance(error, DriftgateError):
        return status_of(type(error))
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, asyncio.CancelledError):  # gRPC's way to say that the caller left
        return status_of(CallerGone)
    return 500

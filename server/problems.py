"""Errors as callers see them: RFC 9457 problem details, and under /v2 the protocol's own `{"error": ...}`."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from store.errors import (
    BadInput,
    Broken,
    Busy,
    Conflict,
    DeadlinePassed,
    DriftgateError,
    Malformed,
    NotFound,
    Refused,
)


class TooLarge(BadInput):
    kind = "too-large"
    title = "Request too large"


class TooSlow(BadInput):
    kind = "too-slow"
    title = "Request too slow"


class Unauthorized(DriftgateError):
    kind = "unauthorized"
    title = "Key needed"


class Forbidden(DriftgateError):
    kind = "forbidden"
    title = "Key lacks the scope"


class CallerGone(DriftgateError):
    """Nobody reads this answer; the status is for our own metrics."""

    kind = "caller-gone"
    title = "Caller gone"


STATUS: dict[type[DriftgateError], int] = {
    TooLarge: 413,
    TooSlow: 408,
    Malformed: 400,
    BadInput: 422,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Refused: 409,
    Conflict: 409,
    Busy: 429,
    DeadlinePassed: 504,
    CallerGone: 499,
    Broken: 503,
}
"""By family; a subclass without a row of its own has its family's status."""


def status_of(error: type[DriftgateError]) -> int:
    """Raises LookupError for an error of no known family; a test walks all of them."""
    for family in error.__mro__:
        if family in STATUS:
            return STATUS[family]
    raise LookupError(error.__name__)


def problem(request: Request, status: int, title: str, detail: str, *, kind: str, **more: Any) -> Response:
    """One error in the shape its path calls for."""
    if request.scope["path"].startswith("/v2"):
        return JSONResponse({"error": detail}, status)
    body = {"type": f"urn:driftgate:{kind}", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, media_type="application/problem+json")


def as_problem(request: Request, error: DriftgateError) -> Response:
    status = status_of(type(error))
    where = getattr(error, "where", None)
    more = {"where": where} if where else {}
    response = problem(request, status, error.title, str(error), kind=error.kind, **more)
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Basic realm="driftgate: the key is the password", charset="UTF-8"'
    return response


def as_bad_parameter(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = "/".join(str(part) for part in first["loc"])
    detail = f"{where}: {first['msg']} (got {str(first['input'])[:60]!r})"
    return problem(request, 422, BadInput.title, detail, kind=BadInput.kind, where=where)


def as_http_problem(request: Request, error: HTTPException) -> Response:
    detail = f"{request.method} {request.url.path}: {error.detail}; the API is described at /docs"
    response = problem(request, error.status_code, str(error.detail), detail, kind="http")
    response.headers.update(error.headers or {})
    return response


def as_bug(request: Request, error: Exception) -> Response:
    """Without details: whoever catches it hands the exception on to the server, which logs it once with its trace."""
    return problem(request, 500, "Internal error", "this is a bug; the log has the details", kind="internal")


def install_problem_handlers(app: FastAPI) -> None:
    handlers: dict[type[Exception], Any] = {
        DriftgateError: as_problem,
        RequestValidationError: as_bad_parameter,
        HTTPException: as_http_problem,
        Exception: as_bug,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, _awaitable(handler))


def _awaitable(handler: Callable[[Request, Any], Response]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Starlette runs a plain function in a thread; these never wait."""

    async def handle(request: Request, error: Exception) -> Response:
        return handler(request, error)

    return handle

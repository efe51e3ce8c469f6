"""Every request has an id: the caller's X-Request-ID, or one that is made. It is echoed, logged and stored."""

import re

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from store.ids import random_bytes

REQUEST_ID = "x-request-id"
_NAME = REQUEST_ID.encode()
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


def request_id_of(asked: str) -> str:
    """`asked` if it can be an id, else a new one."""
    return asked if _REQUEST_ID.fullmatch(asked) else random_bytes(16).hex()


class RequestIds:
    """Names the requests of an ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = next((value for name, value in scope["headers"] if name == _NAME), b"").decode("latin-1")
        request_id = request_id_of(asked)
        scope.setdefault("state", {})["request_id"] = request_id
        echoed = (_NAME, request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), echoed]
            await send(message)

        # A task serves one request, so that nothing has to be reset; log lines of the task carry the id.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        await self._app(scope, receive, send_with_id)

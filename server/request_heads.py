"""uvicorn's HTTP with bounds on a request's head: how large it may be, and how long it may take to come.

What follows the head is bounded where it is read (`server/bodies.py`); the parser takes heads of any size, for ever.
"""

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 65_536
"""Request line and headers."""
HEAD_TIMEOUT_S = 30.0
"""From the connection, or from the first byte of a later request, to the end of its head."""


class BoundedHeads(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = True
        self._received = 0
        """Bytes since the last request ended; those of its head as long as that is not complete."""
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(HEAD_TIMEOUT_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        if not (self._in_head and self._received):
            return
        if self._received > MOST_HEAD_BYTES:
            self._refuse(431, f"the head of a request may have {MOST_HEAD_BYTES} bytes; send fewer or shorter headers")
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_late)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._received = True, 0
        super().on_message_complete()

    def _too_late(self) -> None:
        self._timer = None
        if self._received:
            self._refuse(408, f"the head of the request was not complete within {HEAD_TIMEOUT_S:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, why: str) -> None:
        if self.transport.is_closing():
            return
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"content-length: {len(why)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(f"{head}{why}".encode("ascii"))
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""uvicorn's HTTP with bounds on a request's head: how large it may be, and how long it may take to come.

The parser takes heads and trailers of any size, for ever. Bodies are bounded where they are read (`server/bodies.py`).
"""

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 65_536
"""Request line and headers."""
HEAD_TIMEOUT_S = 30.0
"""From the connection, or from the first byte of a later request, to the end of its head."""
_MOST_FRAMING = 8
"""Bytes of chunked framing, such as `1\\r\\n\\r\\n`, that a byte of a body may bring."""
_ONE_READ = 2**18
"""What an event loop reads at once; it is looked at only then."""


class BoundedHeads(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._in_head = True
        self._refused = False
        self._received = 0
        """Bytes since the last request ended; those of its head as long as that is not complete."""
        self._body_bytes = 0
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(HEAD_TIMEOUT_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        if self._in_head and self._received:
            if self._received > MOST_HEAD_BYTES:
                self._refuse_head()
            elif self._timer is None:
                self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_late)
        elif self._received > 2 * MOST_HEAD_BYTES + _ONE_READ + (1 + _MOST_FRAMING) * self._body_bytes:
            self.transport.close()  # trailers without end

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a trailer, which nobody here reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MOST_HEAD_BYTES:
            self._refuse_head()
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._received, self._body_bytes = True, 0, 0
        if not self._refused:
            super().on_message_complete()

    def _too_late(self) -> None:
        self._timer = None
        if self._received:
            self._refuse(408, f"the head of the request was not complete within {HEAD_TIMEOUT_S:g} s")
        else:
            self.transport.close()

    def _refuse_head(self) -> None:
        self._refuse(431, f"the head of a request may have {MOST_HEAD_BYTES} bytes; send fewer or shorter headers")

    def _refuse(self, status: int, why: str) -> None:
        self._refused = True
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # else it would be read as the answer to that request
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

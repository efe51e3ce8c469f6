"""uvicorn's HTTP, with what has to be done before there is a request that the application can see.

Heads are bounded: how large they may be, and how long they may take to come. The parser takes heads and trailers of any
size, for ever. Bodies are bounded where they are read (`server/bodies.py`). Where the queue is full, a request is
refused by its head (`server/shedding.py`), once its body has come.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.shedding import Shedding

MOST_HEAD_BYTES = 65_536
"""Request line and headers."""
HEAD_TIMEOUT_S = 30.0
"""From the connection, or from the first byte of a later request, to the end of its head."""
_MOST_FRAMING = 8
"""Bytes of chunked framing, such as `1\\r\\n\\r\\n`, that a byte of a body may bring."""
_HOLD_S = 1.0
"""A request whose body takes longer is the application's, which bounds that time, although the queue was full."""
_SHORT_BODY_DIGITS = 5
"""Of the length of a body that is looked past: less than 100,000 bytes."""
_ONE_READ = 2**18
"""What an event loop reads at once; it is looked at only then."""


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, shedding: Shedding, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shedding = shedding
        self._may_shed = True
        """One refusal a read: whoever sends many requests at once must not keep the event loop from the others."""
        self._held: bytes | None = None
        """What has come of the body of a request that is to be refused; None for one that the application has."""
        self._hold_timer: asyncio.TimerHandle | None = None

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
        self._stop_holding()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._may_shed = True
        super().data_received(data)
        if self._held is not None and self._hold_timer is None:
            self._hold_timer = self.loop.call_later(_HOLD_S, self._hand_over)
        if not self._in_head and self._held is None and self.cycle is not None and self.cycle.response_complete:
            self._end_if_idle()  # a body that nobody reads any more
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
        if self._refused:
            return
        self._unset_keepalive_if_required()  # a refusal within this read has set it
        if self._is_ordinary() and self._shedding.is_full(self._path):
            self._held = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._held is not None:
            self._held += body
        elif not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._received, self._body_bytes = True, 0, 0
        if self._refused:
            return
        if self._held is None or (refusal := self._shedding.refusal(self._path, self.headers)) is None:
            self._hand_over()
            super().on_message_complete()
            return
        self._stop_holding()
        self._may_shed = False
        self.transport.write(self._as_bytes(refusal))
        self.on_response_complete()

    def shutdown(self) -> None:
        self._hand_over()  # a request that is under way is answered yet
        super().shutdown()

    @property
    def _path(self) -> str:
        return self.url.decode("latin-1")

    def _hand_over(self) -> None:
        """Let the application have the request that was held back, if one was."""
        if self._held is not None:
            body = self._held
            self._stop_holding()
            super().on_headers_complete()
            super().on_body(body)

    def _end_if_idle(self) -> None:
        """As after an answer: more of the same body is no reason to wait longer."""
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _stop_holding(self) -> None:
        self._held = None
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None

    def _is_ordinary(self) -> bool:
        """Whether nothing is particular about this request: it stands alone, and its body is short and is coming."""
        if not self._may_shed or self.flow.write_paused or not (self.cycle is None or self.cycle.response_complete):
            return False
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        if self.expect_100_continue or self.parser.should_upgrade() or not self.parser.should_keep_alive():
            return False
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return len(length) <= _SHORT_BODY_DIGITS and length.isdigit()

    def _as_bytes(self, response: Response) -> bytes:
        head = [b"HTTP/1.1 %d %s" % (response.status_code, HTTPStatus(response.status_code).phrase.encode())]
        head += [name + b": " + value for name, value in (*self.server_state.default_headers, *response.raw_headers)]
        return b"\r\n".join([*head, b"", bytes(response.body)])

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

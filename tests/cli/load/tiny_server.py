"""A real HTTP server over a socket, as small as one can be, whose answers a test decides."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from cli.load.connection import Address


@dataclass
class Reply:
    body: bytes = b"{}"
    status: int = 200
    pieces: int = 1
    """The answer is written in so many pieces, each on its way before the next."""
    last: bool = False
    """Say `connection: close` and close it."""
    hang_up: bool = False
    """Close without an answer."""
    raw: bytes = b""
    """Written as it is, instead of all the above."""


Answer = Callable[[int, bytes], Awaitable[Reply]]
"""From the number of the request, counted over all connections from 0, and its body."""


@dataclass
class TinyServer:
    answer: Answer
    address: Address = field(default_factory=lambda: Address("127.0.0.1", 0))
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head.decode())
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                self.bodies.append(body)
                reply = await self.answer(len(self.bodies) - 1, body)
                if reply.hang_up:
                    return
                await self._write(writer, reply)
                if reply.last:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _write(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        lines = [f"HTTP/1.1 {reply.status} Whatever", f"CONTENT-length: {len(reply.body)}"]
        if reply.last:
            lines.append("Connection: close")
        data = reply.raw or "\r\n".join([*lines, "", ""]).encode() + reply.body
        step = -(-len(data) // reply.pieces)
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
            await writer.drain()
            await asyncio.sleep(0)


@contextmanager
def running(answer: Answer) -> Iterator[TinyServer]:
    """In a thread of its own, since a load blocks the one that it is asked from."""
    server = TinyServer(answer)
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        listener = await asyncio.start_server(server.talk, "127.0.0.1", 0, backlog=512)
        server.address = Address("127.0.0.1", listener.sockets[0].getsockname()[1])
        ready.set()
        await over.wait()
        # The clients have left, so talks end by themselves; only one whose answer never comes must be told to.
        for patience_s in (0.5, 0.5, 0.0, 0.0):
            await asyncio.sleep(0)  # takes in what still knocks: a listener that closes on it would leak its socket
            if others := asyncio.all_tasks() - {asyncio.current_task()}:
                _, stuck = await asyncio.wait(others, timeout=patience_s)
                for task in stuck:
                    task.cancel()
        listener.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(10), "the server did not start"
    try:
        yield server
    finally:
        stop[0]()
        thread.join(10)
        assert not thread.is_alive()


async def echo(number: int, body: bytes) -> Reply:
    return Reply(body)


def post(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

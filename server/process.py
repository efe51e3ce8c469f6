"""The serving process: opens the parts, serves until SIGTERM, writes what is left."""

import asyncio
import gc
import ipaddress
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import cast

import uvicorn
import uvloop

from engine.cores import usable_cores
from server.app import create_surface
from server.fleet import Fleet
from server.http_protocol import HttpProtocol
from server.metrics import ServerMetrics, new_registry
from server.oip.grpc_service import start_grpc
from server.parts import Parts
from server.recording import Recorder
from server.routing import Router
from server.security import KeyRing
from store.artifacts import open_artifacts
from store.clock import utc_now
from store.database import open_database
from store.errors import BadInput, Refused, StoreUnavailable
from store.logs import get_log
from store.settings import Settings

KEEP_ALIVE_S = 75
"""How long a connection may rest. Balancers keep theirs for 60 s, by default, and would send a request on one that is
just being closed: their callers get a 502."""

_log = get_log("server")


def run_server(settings: Settings, *, insecure: bool = False, listen_fd: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    listen_fd: a listening socket that was inherited and is shared with other workers; by default one is bound.
    Raises BadInput for an address that cannot be bound, Refused for an open door.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the lanes use the cores
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it would write to stderr beside our log
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, insecure=insecure, listen_fd=listen_fd))


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    metrics = ServerMetrics(new_registry())
    with ExitStack() as opened:
        database = open_database(settings)
        opened.callback(database.close)
        artifacts = open_artifacts(settings)
        keys = KeyRing(database)
        keys.refresh()
        lanes = max(1, usable_cores() // settings.workers)
        tokenizing = ThreadPoolExecutor(lanes, thread_name_prefix="tokenize")
        opened.callback(tokenizing.shutdown)
        fleet = Fleet(settings, artifacts, metrics, lanes=lanes)
        opened.callback(fleet.close)
        yield Parts(
            settings=settings,
            database=database,
            artifacts=artifacts,
            metrics=metrics,
            recorder=Recorder(database, buffer_rows=settings.record_buffer_rows, metrics=metrics),
            fleet=fleet,
            router=Router(settings, database, fleet, metrics),
            keys=keys,
            tokenizing=tokenizing,
            clock=utc_now,
        )


async def _serve(settings: Settings, *, insecure: bool, listen_fd: int | None) -> None:
    async with open_parts(settings) as parts:
        if not parts.keys.needed and not insecure and not _is_loopback(settings.host):
            raise Refused(
                f"binding to {settings.host} would let anybody in: there is no API key yet; make one with "
                "`driftgate keys create --scope predict,feedback`, or say --insecure"
            )
        shared = listen_fd is not None
        with socket.socket(fileno=listen_fd) if shared else bind(settings.host, settings.port) as listening:
            await serve_on(listening, parts, _Server(parts), shared_port=shared)


def server_config(parts: Parts) -> uvicorn.Config:
    drain_s = max(1, int(parts.settings.drain_timeout_s))
    surface = create_surface(parts)
    return uvicorn.Config(
        surface.app,
        http=cast(type[asyncio.Protocol], partial(HttpProtocol, shedding=surface.shedding)),  # all it does is call it
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing here looks at the caller's address
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=drain_s,
    )


async def serve_on(
    listening: socket.socket, parts: Parts, server: uvicorn.Server, *, shared_port: bool = False
) -> None:
    """Answer over HTTP and gRPC until `server` is told to exit, then write what is left.

    shared_port: other workers listen on the gRPC port as well.
    """
    await parts.router.refresh()
    host, port = listening.getsockname()[:2]
    grpc, grpc_port = await start_grpc(parts, host=host, port=parts.settings.grpc_port, shared=shared_port)
    shown = f"[{host}]" if ":" in host else host
    gc.collect()
    gc.freeze()  # what is loaded now stays: a full collection would look at all of it and hold up every request
    _log.info("listening", url=f"http://{shown}:{port}", grpc=f"{shown}:{grpc_port}", models=parts.router.models)
    try:
        async with asyncio.TaskGroup() as tasks:
            # A bug in any of these ends the process: a server that silently records nothing is worse than none.
            writer = tasks.create_task(parts.recorder.run(), name="recorder")
            follower = tasks.create_task(parts.router.run(), name="router")
            keeper = tasks.create_task(_follow_keys(parts), name="keys")
            await server.serve(sockets=[listening])
            await grpc.stop(parts.settings.drain_timeout_s)
            await parts.recorder.drain(timeout_s=parts.settings.drain_timeout_s)
            for task in (writer, follower, keeper):
                task.cancel()
    finally:
        await grpc.stop(0)


def longest_drain_s(settings: Settings) -> float:
    """From SIGTERM to the end at most: the notice, then HTTP, gRPC and the recordings one after the other."""
    return settings.drain_notice_s + 3 * settings.drain_timeout_s


class _Server(uvicorn.Server):
    """uvicorn raises a signal again once it has served; the buffers that are still to be written would be lost.

    SIGTERM first turns /readyz, so that a balancer sends nothing new, and a while later ends the serving. Ctrl-C does
    not wait.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(server_config(parts))
        self._parts = parts

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._drain, loop)
        loop.add_signal_handler(signal.SIGINT, self.handle_exit, signal.SIGINT, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        self._parts.router.start_draining()
        _log.info("draining", notice_s=self._parts.settings.drain_notice_s)
        loop.call_later(self._parts.settings.drain_notice_s, self.handle_exit, signal.SIGTERM, None)


async def _follow_keys(parts: Parts) -> None:
    while True:
        await asyncio.sleep(1.0)
        try:
            await asyncio.to_thread(parts.keys.refresh)
        except StoreUnavailable:  # the router logs it; the keys that are known stay in force
            continue


def bind(host: str, port: int, *, option: str = "--port", shared: bool = False) -> socket.socket:
    """A listening socket, bound before anything is loaded. Raises BadInput that says what is wrong.

    option: what says another port. shared: it only holds the port, for workers that bind it too (SO_REUSEPORT).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host, port))
        if not shared:
            listening.listen(2048)
    except OSError as error:
        listening.close()
        raise BadInput(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another {option} or --host, "
            "or stop what listens there"
        ) from error
    return listening


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

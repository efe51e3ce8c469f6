"""The serving process: opens the parts, serves until SIGTERM, writes what is left."""

import asyncio
import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from server.app import create_app
from server.metrics import ServerMetrics
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

_log = get_log("server")


def run_server(settings: Settings, *, insecure: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. Raises BadInput for an address that cannot be bound, Refused for an open door."""
    asyncio.run(_serve(settings, insecure=insecure))


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    registry = CollectorRegistry()
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=registry)
    metrics = ServerMetrics(registry)
    with ExitStack() as opened:
        database = open_database(settings)
        opened.callback(database.close)
        artifacts = open_artifacts(settings)
        keys = KeyRing(database)
        keys.refresh()
        tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        opened.callback(tokenizing.shutdown)
        router = Router(settings, database, artifacts, metrics)
        opened.callback(router.close)
        yield Parts(
            settings=settings,
            database=database,
            artifacts=artifacts,
            metrics=metrics,
            recorder=Recorder(database, buffer_rows=settings.record_buffer_rows, metrics=metrics),
            router=router,
            keys=keys,
            tokenizing=tokenizing,
            clock=utc_now,
        )


async def _serve(settings: Settings, *, insecure: bool) -> None:
    async with open_parts(settings) as parts:
        if not parts.keys.needed and not insecure and not _is_loopback(settings.host):
            raise Refused(
                f"binding to {settings.host} would let anybody in: there is no API key yet; make one with "
                "`driftgate keys create --scope predict,feedback`, or say --insecure"
            )
        with bind(settings.host, settings.port) as listening:
            await serve_on(listening, parts, _Server(server_config(parts)))


def server_config(parts: Parts) -> uvicorn.Config:
    drain_s = max(1, int(parts.settings.drain_timeout_s))
    return uvicorn.Config(create_app(parts), log_config=None, access_log=False, timeout_graceful_shutdown=drain_s)


async def serve_on(listening: socket.socket, parts: Parts, server: uvicorn.Server) -> None:
    """Answer until `server` is told to exit, then write what is left."""
    await parts.router.refresh()
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info("listening", url=f"http://{shown}:{port}", models=parts.router.models)
    async with asyncio.TaskGroup() as tasks:
        # A bug in any of these ends the process: a server that silently records nothing is worse than none.
        writer = tasks.create_task(parts.recorder.run(), name="recorder")
        follower = tasks.create_task(parts.router.run(), name="router")
        keeper = tasks.create_task(_follow_keys(parts), name="keys")
        await server.serve(sockets=[listening])
        await parts.recorder.drain(timeout_s=parts.settings.drain_timeout_s)
        for task in (writer, follower, keeper):
            task.cancel()


class _Server(uvicorn.Server):
    """uvicorn raises a signal again once it has served; the buffers that are still to be written would be lost."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def _follow_keys(parts: Parts) -> None:
    while True:
        await asyncio.sleep(1.0)
        try:
            await asyncio.to_thread(parts.keys.refresh)
        except StoreUnavailable:  # the router logs it; the keys that are known stay in force
            continue


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, bound before anything is loaded. Raises BadInput that says what is wrong."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise BadInput(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port or --host, "
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

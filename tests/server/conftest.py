"""The real server on a real socket: its own thread, its own event loop, a store of its own."""

import asyncio
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from engine.base import base_record
from engine.cores import usable_cores
from engine.engine import BatchResult
from server.parts import Parts
from server.process import bind, open_parts, serve_on, server_config
from store.artifacts import ArtifactStore
from store.bases import add_base
from store.clock import utc_now
from store.database import Database, open_database
from store.predictions import NewPrediction
from store.settings import Settings, load_settings
from store.versions import NewVersion, promote, register_version
from tests.conftest import ImportedBase, MakeAdapter

LABELS = ("billing", "refund", "delivery")
TEXT = "where is my parcel?"


class Server:
    """A served home. `parts` are the server's own; `database` is another process's view of the same store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: Database = open_database(settings)
        self.parts: Parts
        self.uvicorn: uvicorn.Server
        self._error: BaseException | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server")
        self._thread.start()
        self._up.wait(60)
        if self._error:
            raise self._error
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, json: object = None, **options: Any) -> httpx.Response:
        return self.http.post(path, json=json, **options)

    def predict(self, *texts: str, model: str = "tickets", **body: Any) -> httpx.Response:
        return self.post(f"/v1/models/{model}/predict", {"inputs": list(texts) or [TEXT], **body})

    def infer(self, body: object, path: str = "tickets") -> httpx.Response:
        return self.post(f"/v2/models/{path}/infer", body)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric now, 0 if nobody counted yet."""
        return self.parts.metrics.registry.get_sample_value(name, labels) or 0.0

    def promote(self, version: int, model: str = "tickets") -> None:
        """As another process does it: in the store alone."""
        with self.database.write() as session:
            promote(session, model, version, by="ann", reason="better", now=utc_now())

    def nothing_leased(self) -> bool:
        return all(not runtime.engine.bank._leases for runtime in self.parts.fleet._runtimes.values())

    def raw(self, request: bytes, *, half_close: bool = False) -> bytes:
        """What comes back for bytes that no decent client would send."""
        with socket.create_connection(self.address, timeout=30) as connection:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=30)

    def call_soon(self, action: Callable[[], object]) -> None:
        """Run `action` on the server's event loop."""
        self._loop.call_soon_threadsafe(action)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.uvicorn.should_exit = True
        self._thread.join(60)
        self.http.close()
        self.database.close()
        assert not self._thread.is_alive(), "the server does not end"
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # told to the test
            self._error = error
        finally:
            self._up.set()

    async def _serve(self) -> None:
        async with open_parts(self.settings) as self.parts:
            with bind("127.0.0.1", 0) as listening:
                self._loop = asyncio.get_running_loop()
                self.uvicorn = uvicorn.Server(server_config(self.parts))
                self.address = listening.getsockname()[:2]
                self.url = "http://{}:{}".format(*self.address)
                self._up.set()
                await serve_on(listening, self.parts, self.uvicorn)


Start = Callable[..., Server]


def hold_writes(server: Server, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A store that takes its time: what is recorded is written once the event is set."""
    written = threading.Event()
    write = server.parts.recorder._write

    def slow_write(rows: list[NewPrediction]) -> None:
        assert written.wait(30)
        write(rows)

    monkeypatch.setattr(server.parts.recorder, "_write", slow_write)
    return written


@pytest.fixture(scope="session")
def adapters(tiny: ImportedBase, make_adapter: MakeAdapter, artifacts: ArtifactStore) -> list[NewVersion]:
    """Two versions of `tickets` that answer differently."""
    keys = [artifacts.put("adapters", make_adapter(tiny, labels=LABELS, seed=seed)) for seed in (1, 2)]
    return [NewVersion("tickets", "tiny", key, 8, LABELS) for key in keys]


def stock(database: Database, tiny: ImportedBase, adapters: list[NewVersion]) -> None:
    """`tickets`: version 1 in production, version 2 ready."""
    spec, now = tiny.spec, utc_now()
    with database.write() as session:
        add_base(
            session,
            base_record(spec, tiny.artifact, state="approved", now=now),
        )
        session.flush()
        for new in adapters:
            register_version(session, new, by="test", now=now)
        promote(session, "tickets", 1, by="ann", reason="first version", now=now)


@pytest.fixture(scope="session")
def stocked_home(tmp_path_factory: pytest.TempPathFactory, tiny: ImportedBase, adapters: list[NewVersion]) -> Path:
    home = tmp_path_factory.mktemp("stocked")
    database = open_database(load_settings(home=home))
    stock(database, tiny, adapters)
    database.close()
    return home


@pytest.fixture
def start(tmp_path: Path, tiny: ImportedBase, stocked_home: Path) -> Iterator[Start]:
    """Starts a server with these settings over a home of its own; artifacts are shared unless `artifacts_url` says."""
    started = []

    def run(**overrides: object) -> Server:
        home = tmp_path / "home"
        if not home.exists():
            shutil.copytree(stocked_home, home)
        shared = {"artifacts_url": str(tiny.bundle.parents[1]), "slots": 4, "drain_timeout_s": 5.0, "grpc_port": 0}
        one_lane = {"workers": usable_cores()}  # what one batch holds up waits in the queue, and nowhere else
        values = {**shared, **one_lane, **overrides}
        server = Server(load_settings(home=home, **values))
        started.append(server)
        return server

    yield run
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny: ImportedBase, stocked_home: Path) -> Iterator[Server]:
    """One server for all tests of a file that only ask."""
    home = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(stocked_home, home)
    running = Server(
        load_settings(home=home, artifacts_url=str(tiny.bundle.parents[1]), slots=4, grpc_port=0, max_inputs=50)
    )
    yield running
    running.stop()


class StuckEngine:
    """An engine whose batches wait until the block ends: a busy machine, without its noise.

    Its batches never run on the event loop, cheap as they are: the server would be stuck with them.
    """

    def __init__(self, server: Server, pool: ThreadPoolExecutor) -> None:
        server.predict()  # the engine is there now
        (self._runtime,) = server.parts.fleet._runtimes.values()
        self._run = self._runtime.engine.run
        self._pool = pool
        self._running, self._go_on = threading.Event(), threading.Event()
        self.largest_padded = 0
        self._runtime.engine.run = self._wait_and_run  # type: ignore[method-assign]

    def send(self, server: Server, count: int, *texts: str) -> "list[Future[httpx.Response]]":
        return [self._pool.submit(server.predict, *texts) for _ in range(count)]

    def wait_until_running(self) -> None:
        assert self._running.wait(30), "no batch has started"

    def let_go(self) -> None:
        self._go_on.set()

    def _wait_and_run(self, rows: Any, slots: Any, **where: Any) -> BatchResult:
        self._running.set()
        assert self._go_on.wait(60), "nobody let the engine go on"
        result = self._run(rows, slots, **where)
        self.largest_padded = max(self.largest_padded, result.padded_tokens)
        return result


@pytest.fixture
def stuck_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Server], AbstractContextManager[StuckEngine]]]:
    monkeypatch.setattr("server.batching.INLINE_S", 0.0)
    monkeypatch.setattr("server.batching.INLINE_ALONE_S", 0.0)
    with ThreadPoolExecutor(16) as pool:

        @contextmanager
        def hold(server: Server) -> Iterator[StuckEngine]:
            engine = StuckEngine(server, pool)
            try:
                yield engine
            finally:
                engine.let_go()

        yield hold

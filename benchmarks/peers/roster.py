"""Who is compared: each peer's command, its own protocol, and what of it is worth a version number.

A peer is one function from a port and a folder of its own to its command and environment; adding one is adding a line
to PEERS. Settings that decide about speed stand with their reasons in `servers/`.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import python_of
from benchmarks.stage import MODEL, free_port

SERVERS = Path(__file__).parent / "servers"
CORES = len(os.sched_getaffinity(0))

Answer = tuple[str, float]
"""Label and score."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a list of texts is asked, and how the answers are read."""

    path: str
    body: Callable[[Sequence[str]], dict[str, Any]]
    answers: Callable[[Any], list[Answer]]


def _listed(rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
    return [(row["label"], row["score"]) for row in rows]


def _predictions(body: Any) -> list[Answer]:
    return _listed(body["predictions"])


def _outputs(body: Any) -> list[Answer]:
    found = {output["name"]: output["data"] for output in body["outputs"]}
    return list(zip(found["label"], found["score"], strict=True))


def _inputs(texts: Sequence[str]) -> dict[str, Any]:
    return {"inputs": list(texts)}


def _v2(texts: Sequence[str]) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}]}


PREDICT = Protocol("/predict", _inputs, _predictions)
V2 = Protocol("/v2/models/bench/infer", _v2, _outputs)
BENTO = Protocol("/predict", _inputs, _listed)
DRIFTGATE = Protocol(f"/v1/models/{MODEL}/predict", _inputs, _predictions)


@dataclass(frozen=True, slots=True)
class Start:
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    environment: str
    """Of `requirements/`."""
    packages: tuple[str, ...]
    """Whose versions the table names."""
    batches: bool
    """Whether requests of several callers may share a run."""
    start: Callable[[int, Path], Start]
    """From a free port and an empty folder."""
    protocol: Protocol = PREDICT
    workloads: tuple[str, ...] = ("text", "many", "tiny")


@dataclass(frozen=True, slots=True)
class Variant:
    """driftgate with some settings of its own."""

    name: str
    environment: Mapping[str, str]
    tolerance: float = 1e-3
    """How far a score may be from the exact one."""
    most_wrong: float = 0.01
    """Share of answers that may have another label or score; beyond fp32 it is larger, and is told."""


VARIANTS: tuple[Variant, ...] = (
    Variant("driftgate, fp32", {"DRIFTGATE_PROVIDER": "cpu", "DRIFTGATE_PRECISION": "fp32"}),
    Variant("driftgate, auto", {"DRIFTGATE_PRECISION": "auto"}, tolerance=1.0, most_wrong=0.2),
)
"""The first is the one that the ratios are about."""


def _uvicorn(app: str, workers: int, **more: str) -> Callable[[int, Path], Start]:
    def start(port: int, folder: Path) -> Start:
        bind = ["--host", "127.0.0.1", "--port", str(port), "--app-dir", str(SERVERS)]
        quiet = ["--log-level", "warning", "--no-access-log"]
        command = [str(python_of("plain")), "-m", "uvicorn", f"{app}:app", *bind, *quiet, "--workers", str(workers)]
        return Start(command, more)

    return start


def _litserve(port: int, folder: Path) -> Start:
    return Start([str(python_of("litserve")), str(SERVERS / "litserve_server.py"), str(port)])


def _mlserver(workers: int) -> Callable[[int, Path], Start]:
    """workers: processes of its pool, one ORT thread each, which is faster for a real model. 0 runs inference inside
    the server process with ORT on all cores: nothing travels between processes, which a tiny model gains from.
    Metrics, gzip and debug are off.
    """

    def start(port: int, folder: Path) -> Start:
        settings = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_endpoint": None,
            "metrics_port": free_port(),
            "debug": False,
            "gzip_enabled": False,
            "parallel_workers": workers,
        }
        model = {
            "name": "bench",
            "implementation": "mlserver_runtime.TextRuntime",
            "max_batch_size": 32,
            "max_batch_time": 0.002,
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        mlserver = python_of("mlserver").with_name("mlserver")
        return Start([str(mlserver), "start", str(folder)], {"PYTHONPATH": str(SERVERS), "BENCH_WORKERS": str(workers)})

    return start


def _bentoml(port: int, folder: Path) -> Start:
    bind = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(SERVERS)]
    command = [str(python_of("bentoml")), "-m", "bentoml", "serve", "bentoml_service:Bench", *bind]
    quiet = {"BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_CONFIG_OPTIONS": _BENTO_OPTIONS}
    return Start(command, {**quiet, "PYTHONPATH": str(SERVERS)})


_BENTO_OPTIONS = "api_server.logging.access.enabled=false"


def _ray(port: int, folder: Path) -> Start:
    environment = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's sockets lie in here, and a socket's path is at most 107 characters long.
        "BENCH_RAY_TEMP": str(folder),
    }
    return Start([str(python_of("ray")), str(SERVERS / "ray_deployment.py"), str(port)], environment)


PEERS: tuple[Peer, ...] = (
    Peer(
        "FastAPI async, a process a core",
        "plain",
        ("fastapi", "uvicorn", "onnxruntime"),
        False,
        _uvicorn("fastapi_async", CORES),
    ),
    Peer("FastAPI def, all threads", "plain", ("fastapi", "uvicorn"), False, _uvicorn("fastapi_threads", 1)),
    Peer(
        "FastAPI async, one process",
        "plain",
        ("fastapi", "uvicorn"),
        False,
        _uvicorn("fastapi_async", 1),
        workloads=("tiny",),
    ),
    Peer(
        "FastAPI async, text by text",
        "plain",
        ("fastapi", "uvicorn"),
        False,
        _uvicorn("fastapi_async", CORES, BENCH_SINGLY="1"),
        workloads=("many",),
    ),
    Peer("LitServe", "litserve", ("litserve",), True, _litserve),
    Peer("MLServer", "mlserver", ("mlserver",), True, _mlserver(CORES), V2, workloads=("text", "many")),
    Peer("MLServer, one process", "mlserver", ("mlserver",), True, _mlserver(0), V2, workloads=("tiny",)),
    Peer("BentoML", "bentoml", ("bentoml",), True, _bentoml, BENTO),
    Peer("Ray Serve", "ray", ("ray",), True, _ray),
)

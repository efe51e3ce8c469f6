"""What `pip install 'driftgate[cpu]'` gives: a server without torch and its kin, ready in three seconds.

Slow: it makes a virtual environment and installs into it, and imports a real base.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from store.database import open_database
from store.settings import load_settings
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase, MakeAdapter
from tests.e2e.processes import TOP, answers_ready, processes, wait_for

pytestmark = pytest.mark.slow

READY_S = 3.0
MOST_STARTS = 5
"""The best of them counts, because what else the machine does is not ours; no more are made than are needed."""
FOLDERS = ("cli", "server", "monitor", "retrain", "engine", "store")
TOO_HEAVY = ("torch", "transformers", "evidently", "pandas", "sklearn", "scipy", "peft")

IMPORT_ALL = """
import importlib, pkgutil, sys
for top in ("server", "engine"):
    package = importlib.import_module(top)
    for found in pkgutil.walk_packages(package.__path__, top + "."):
        importlib.import_module(found.name)
print(*sorted(name for name in sys.modules if name.startswith(("server", "engine"))))
"""


@dataclass(frozen=True)
class Start:
    seconds: float
    """From the start of the process to the first 200 of /readyz."""
    processor_s: float
    """What it used of the processor until then."""
    resident_mib: float


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of an environment that holds driftgate[cpu] and nothing else."""
    folder = tmp_path_factory.mktemp("lean")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(TOP / name, source / name)
    for name in FOLDERS:  # a copy, because a build leaves its own folder in the tree
        shutil.copytree(TOP / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "venv", str(folder / "venv"), cwd=folder)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "-c", str(TOP / "constraints.txt"), f"{source}[cpu]", cwd=folder)
    return folder / "venv" / "bin"


@pytest.fixture
def home(tmp_path: Path, minilm: ImportedBase, make_adapter: MakeAdapter) -> Path:
    """A home with MiniLM and a model `tickets` on it."""
    home = tmp_path / "home"
    database = open_database(load_settings(home=home))
    add_imported_base(database, home, minilm)
    database.close()
    with processes(home, tmp_path / "logs") as group:
        folder = make_adapter(minilm, labels=("billing", "other", "refund"))
        group.ask("adapter", "import", str(folder), "--base", "minilm", "--model", "tickets", "--promote")
    return home


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{command[:6]}: {done.stdout[-1500:]}{done.stderr[-3000:]}"
    return done.stdout


def test_the_lean_install_serves_without_the_heavy_ones_and_is_ready_soon(
    lean: Path, home: Path, tmp_path: Path
) -> None:
    python = str(lean / "python")
    here = run(python, "-c", "import cli; print(cli.__file__)", cwd=tmp_path)
    assert str(lean.parent) in here, "it must not be the working tree that is tested"
    looked = f"from importlib.util import find_spec; print(*[n for n in {TOO_HEAVY!r} if find_spec(n)])"
    assert run(python, "-c", looked, cwd=tmp_path).split() == []
    assert "server.process" in run(python, "-c", IMPORT_ALL, cwd=tmp_path).split()
    assert "serve" in run(str(lean / "driftgate"), "--help", cwd=tmp_path)

    starts: list[Start] = []
    while len(starts) < MOST_STARTS and not any(start.seconds <= READY_S for start in starts):
        starts.append(serve_once(lean, home, tmp_path))
    best = min(starts, key=lambda start: start.seconds)
    print(
        f"ready after {', '.join(f'{start.seconds:.2f}' for start in starts)} s "
        f"(of the processor {best.processor_s:.2f} s); resident {best.resident_mib:.0f} MiB after an answer"
    )
    assert best.seconds <= READY_S


def serve_once(lean: Path, home: Path, folder: Path) -> Start:
    """Start, wait until ready, ask for an answer, stop."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [str(lean / "driftgate"), "--home", str(home), "serve", "--port", str(port), "--grpc-port", "0"]
    with (folder / "serve.log").open("ab") as log:
        began = time.monotonic()
        server = subprocess.Popen(command, cwd=folder, env=dict(os.environ), stdout=log, stderr=log)
    try:
        wait_for(lambda: answers_ready(url), "the server", every_s=0.01)
        seconds, used = time.monotonic() - began, psutil.Process(server.pid).cpu_times()
        answer = httpx.post(f"{url}/v1/models/tickets/predict", json={"inputs": ["where is my money?"]}, timeout=30)
        (prediction,) = answer.raise_for_status().json()["predictions"]
        assert prediction["label"] in ("billing", "other", "refund")
        return Start(seconds, used.user + used.system, psutil.Process(server.pid).memory_info().rss / 2**20)
    finally:
        server.terminate()
        assert server.wait(60) == 0, (folder / "serve.log").read_text()[-2000:]

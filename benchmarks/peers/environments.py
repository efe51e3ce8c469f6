"""An environment of its own for each peer: their pins exclude each other, and ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from store.errors import Broken

_TOP = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
_STAMP = "requirements-installed.txt"


def environments() -> Path:
    """The folder that holds them: .bench-peers, or what DRIFTGATE_BENCH_PEERS names."""
    return Path(os.environ.get("DRIFTGATE_BENCH_PEERS", _TOP / ".bench-peers"))


def python_of(name: str) -> Path:
    """The interpreter of the environment `name`, made if it is missing. Raises Broken when pip fails.

    One that was made by hand is taken as it is; one that we made is made again when its requirements have changed.
    """
    folder = environments() / name
    requirements = REQUIREMENTS / f"{name}.txt"
    python, stamp = folder / "bin" / "python", folder / _STAMP
    if stamp.exists() and stamp.read_text() != requirements.read_text():
        shutil.rmtree(folder)
    if not python.exists():
        _make(folder, requirements)
    return python


def _make(folder: Path, requirements: Path) -> None:
    """Into its final place, since scripts hold absolute paths; what is left half made has no interpreter."""
    print(f"installing {folder.name} into {folder} ...", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    steps = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False, timeout=1800)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise Broken(f"cannot install {folder.name}: {' '.join(last)}")
    (folder / _STAMP).write_text(requirements.read_text())


def versions_in(python: Path, packages: tuple[str, ...]) -> str:
    """`name version` of each package, as installed there."""
    ask = f"from importlib.metadata import version\nfor p in {packages!r}: print(p, version(p))"
    done = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True, timeout=60)
    return ", ".join(done.stdout.split("\n")[:-1])

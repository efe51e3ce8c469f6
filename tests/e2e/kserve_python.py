"""The Python that has the KServe SDK. It cannot share our environment: it needs an older protobuf and FastAPI."""

import os
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENT = "kserve==0.21.0"

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "driftgate" / REQUIREMENT.replace("==", "-")
_STAMP = _CACHE / "installed"


def is_ready() -> bool:
    return bool(os.environ.get("DRIFTGATE_TEST_KSERVE")) or _STAMP.exists()


def kserve_python() -> str:
    """DRIFTGATE_TEST_KSERVE, or one in a cache folder, which is made the first time: that takes a minute or two."""
    if named := os.environ.get("DRIFTGATE_TEST_KSERVE"):
        return named
    python = _CACHE / "bin" / "python"
    if not _STAMP.exists():
        venv.create(_CACHE, clear=True, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", REQUIREMENT], check=True, stdout=sys.stderr)
        _STAMP.touch()
    return str(python)

"""The floors of the house: imports go down only, and what serves stays small."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_go_down_only() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_module_has_a_name_that_says_nothing() -> None:
    folders = ("cli", "server", "monitor", "retrain", "engine", "store", "observability")
    names = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    vague = [str(path) for path in names if path.stem in ("utils", "util", "helpers", "helper", "common", "misc")]
    assert not vague

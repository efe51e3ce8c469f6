"""Prometheus' own opinion of rules, queries and configurations."""

import shutil
import subprocess
from pathlib import Path

import pytest

_PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(_PROMTOOL is None, reason="no promtool (Debian package prometheus)")


def run_promtool(*arguments: str | Path) -> None:
    """Fails with what it complains about."""
    done = subprocess.run([_PROMTOOL or "", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""The demo keeps its promises. Slow: it is the whole loop with two real trainings, about five minutes on two cores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_loop_closes_by_itself_and_drops_no_request(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "--home", str(tmp_path / "demo"), "demo", "--json"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stderr)
    result = json.loads(done.stdout)
    before, after = result["accuracy_before_drift"], result["accuracy_after_drift"]
    assert result["alarms_before_drift"] == 0
    assert result["promoted_version"] == 2
    assert result["failed_requests"] == 0
    assert result["requests"] >= 2_700
    assert after < before - 0.1, "the change of the world must cost something"
    assert (result["accuracy_after_promotion"] - after) / (before - after) >= 0.8
    assert min(result["new_label_recall"].values()) >= 0.8

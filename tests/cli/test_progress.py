import os
import pty
import subprocess
import sys
from pathlib import Path

from cli.progress import progress_bar, spinner

TOP = Path(__file__).parents[2]
WORK = """
from cli.progress import progress_bar, spinner
with spinner("exporting a base"):
    pass
with progress_bar() as progress:
    progress("training", 0.5)
    progress("gate", 0.97)
"""


def test_without_a_terminal_each_stage_is_one_line(capsys):
    with spinner("exporting"), progress_bar() as progress:
        for share in (0.05, 0.1, 0.5):
            progress("training", share)
        progress("gate", 0.97)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["exporting ...", "  5% training", " 97% gate"]


def test_a_terminal_gets_a_bar_on_stderr_and_nothing_on_stdout():
    ours, theirs = pty.openpty()
    result = subprocess.run(
        [sys.executable, "-c", WORK],
        cwd=TOP,
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
        timeout=60,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 65_536):
            drawn += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert result.stdout == b""
    assert b"exporting a base" in drawn
    assert b"97%" in drawn

"""Children that die, come back, or cannot start; each is a real process."""

import asyncio
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.supervise import CannotStart, Child, restart_delay_s, supervise

STOP_OUR_PARENT = "import os, signal; os.kill(os.getppid(), signal.SIGTERM); signal.pause()"


def run(*children, settled_s=0.0, delay_s=lambda deaths: 0.0):
    asyncio.run(supervise(children, environment=os.environ, stop_timeout_s=20, settled_s=settled_s, delay_s=delay_s))


def child(name, code, *, vital=False):
    return Child(name, (sys.executable, "-c", code), vital=vital)


def test_a_child_that_dies_is_started_again_until_we_are_told_to_stop(tmp_path):
    lives = tmp_path / "lives"
    code = f"""
with open({str(lives)!r}, "a+") as file:
    file.write("x")
    file.seek(0)
    count = len(file.read())
if count < 3:
    raise SystemExit(7)
{STOP_OUR_PARENT}
"""
    run(child("mortal", code, vital=True))  # it settles at once here, so its deaths are not taken for a bad start
    assert lives.read_text() == "xxx"


def test_deaths_in_a_row_make_the_delay_grow(tmp_path):
    lives, delays = tmp_path / "lives", []
    code = f"""
with open({str(lives)!r}, "a+") as file:
    file.write("x")
    file.seek(0)
    count = len(file.read())
if count < 4:
    raise SystemExit(7)
{STOP_OUR_PARENT}
"""
    run(child("mortal", code), settled_s=3600.0, delay_s=lambda deaths: delays.append(deaths) or 0.0)
    assert delays == [1, 2, 3]


def test_a_vital_child_that_cannot_start_ends_all_the_others(tmp_path):
    other = tmp_path / "other"
    os.mkfifo(other)
    waits = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); open({str(other)!r}, 'w')"
    waits += ".write('up'); signal.pause()"
    dies = f"import sys; open({str(other)!r}).read(2); sys.exit(3)"  # only when the other one is there
    with pytest.raises(CannotStart, match="serve ended with exit code 3"):
        run(child("serve", dies, vital=True), child("monitor", waits), settled_s=3600.0)


def test_a_child_that_ignores_the_signal_is_killed():
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + STOP_OUR_PARENT
    asyncio.run(supervise([child("deaf", deaf)], environment=os.environ, stop_timeout_s=0.05))


@given(deaths=st.integers(1, 10_000))
def test_the_delay_never_shrinks_and_is_bounded(deaths):
    assert 0.5 <= restart_delay_s(deaths) <= restart_delay_s(deaths + 1) <= 30.0

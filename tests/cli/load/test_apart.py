import os
import time

import pytest

from cli.load.apart import LoadFailed, run_apart
from cli.load.closed import run_closed
from cli.load.connection import Address
from tests.cli.load.tiny_server import echo, post, running


def fail() -> None:
    raise ValueError("a bug")


def die() -> None:
    os._exit(3)


def test_a_load_runs_in_another_process_and_its_result_comes_back():
    ticks: list[float] = []
    with running(echo) as server:
        result = run_apart(run_closed, 30, ticks.append, server.address, [post(b"x")], clients=2, seconds=0.3)
    assert result.by_status[200] == len(server.bodies) > 0
    assert ticks == sorted(ticks)
    assert run_apart(os.getpid, 30, None) != os.getpid()


def test_what_goes_wrong_there_is_told_here():
    with pytest.raises(LoadFailed, match="a bug"):
        run_apart(fail, 30, None)
    with pytest.raises(LoadFailed, match="died"):
        run_apart(die, 30, None)
    with pytest.raises(LoadFailed, match=r"(?i)refused|connect"):
        run_apart(run_closed, 30, None, Address("127.0.0.1", 1), [post(b"x")], clients=1, seconds=1)


def test_a_load_that_does_not_end_is_ended():
    began = time.monotonic()
    with pytest.raises(LoadFailed, match="was not over after 1 s"):
        run_apart(time.sleep, 1, None, 60)
    assert time.monotonic() - began < 20

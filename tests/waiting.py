"""Waiting for something to become true, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, within_s: float = 20.0) -> T:
    """The first truthy value of `condition`, which is asked again and again; fails after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"did not become true within {within_s:g} s"
        time.sleep(0.005)
    return found

"""Races: the same moment, as near as threads come to it."""

import threading
from collections.abc import Callable, Sequence
from typing import Any


def all_at_once(actions: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each action returned or raised, in their order; all of them start together."""
    outcomes: list[Any] = [None] * len(actions)
    start = threading.Barrier(len(actions))

    def run(i: int) -> None:
        start.wait(30)
        try:
            outcomes[i] = actions[i]()
        except Exception as error:  # it is the outcome
            outcomes[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return outcomes

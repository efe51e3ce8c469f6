"""Servers compared in slices of time: all have their load all the while, and one of them at a time may run.

On a shared machine the speed of a core changes by a tenth from one second to the next, so that turns of two seconds
differ by ±14 % and five rounds cannot tell 0.95 from 1. Servers that take turns every fifth of a second see the same
machine: of two servers that are the same, ten rounds of five seconds find 1.00 ± 0.013. Who rests is stopped with
SIGSTOP, and its callers wait, so this tells how much each gets done; of latency it tells no more than the median of
answers that take a fraction of a slice. Servers need homes of their own: one that is stopped amid a transaction would
keep the others from writing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Protocol

from benchmarks.frame import WARM_UP_S, load, order
from benchmarks.questions import Question, RightLabel
from benchmarks.stage import Server
from cli.load.result import LoadResult

SLICE_S = 0.2
"""Long beside the switch, which empties the caches, and short beside the machine's moods."""
_TOGETHER_S = 2.0
"""All are awake while the loads connect: a server that wakes to a row of callers gives them all to one process."""


@dataclass(frozen=True, slots=True)
class Slice:
    """When a server ran, on the clock of time.perf_counter."""

    name: str
    began: float
    ended: float


def ran_s(slices: Sequence[Slice], name: str, began: float, ended: float) -> float:
    """How many seconds of the window from `began` to `ended` the server of this name ran."""
    own = ((max(began, each.began), min(ended, each.ended)) for each in slices if each.name == name)
    return sum(max(0.0, until - since) for since, until in own)


class Sleeper(Protocol):
    """A server, whatever it is made of."""

    def sleep(self) -> None:
        """Stop, so that it takes nothing of the cores while another one is measured."""
        ...

    def wake(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Side:
    server: Sleeper
    load: Callable[[float, float], LoadResult]
    """Makes its load: for how many seconds, after how many of warm-up."""


def play_in_slices(
    servers: Mapping[str, Server], questions: Sequence[Question], *, clients: int, rounds: int, seconds: float
) -> dict[str, list[LoadResult]]:
    """Closed loops of `clients` against each server; by its name what it did in each round, as `round_in_slices` says.

    seconds: that each may run a round, about. Raises LoadFailed.
    """
    check = RightLabel(questions)

    def side(server: Server) -> Side:
        requests = [question.request(server.address) for question in questions]

        def ask(seconds: float, warm_up_s: float) -> LoadResult:
            return load(server.address, requests, clients=clients, seconds=seconds, check=check, warm_up_s=warm_up_s)

        return Side(server, ask)

    sides = {name: side(server) for name, server in servers.items()}
    found: dict[str, list[LoadResult]] = {name: [] for name in servers}
    for number in range(rounds):
        for name, result in round_in_slices(sides, number, seconds).items():
            found[name].append(result)
    for server in servers.values():
        server.wake()
    return found


def round_in_slices(sides: Mapping[str, Side], number: int, seconds: float) -> dict[str, LoadResult]:
    """One round, begun by another side each time. All sleep in the end; where it raises, all are awake.

    seconds: that each may run, about. A result's `seconds` are those in which its server ran; its latencies contain the
    times when it rested. Raises LoadFailed.
    """
    sides = {name: sides[name] for name in order(list(sides), number)}
    with ThreadPoolExecutor(len(sides)) as pool:
        times = (seconds * len(sides), _TOGETHER_S + WARM_UP_S * len(sides))
        loads = {name: pool.submit(side.load, *times) for name, side in sides.items()}
        try:
            slices = _take_turns(sides, list(loads.values()))
            results = {name: future.result() for name, future in loads.items()}
        except BaseException:  # the loads that are left would wait for servers that sleep
            with ExitStack() as all_of_them:
                for side in sides.values():
                    all_of_them.callback(side.server.wake)
            raise
    return {
        name: replace(result, seconds=ran_s(slices, name, result.began, result.began + result.seconds))
        for name, result in results.items()
    }


def _take_turns(sides: Mapping[str, Side], loads: Sequence[Future[LoadResult]]) -> list[Slice]:
    """Until all loads are over; all servers sleep then. Raises what a load raised, at once."""
    slices: list[Slice] = []
    for side in sides.values():
        side.server.wake()
    time.sleep(_TOGETHER_S)
    for side in sides.values():
        side.server.sleep()
    while not _are_over(loads):
        for name, side in sides.items():
            began = time.perf_counter()
            side.server.wake()
            time.sleep(SLICE_S)
            side.server.sleep()
            slices.append(Slice(name, began, time.perf_counter()))
    return slices


def _are_over(loads: Sequence[Future[LoadResult]]) -> bool:
    """Raises what one of them raised."""
    done = [each for each in loads if each.done()]
    for each in done:
        each.result()
    return len(done) == len(loads)

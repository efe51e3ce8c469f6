"""Servers compared in slices of time: all have their load all the while, and one of them at a time may run.

On a shared machine the speed of a core changes by a tenth from one second to the next, so that turns of two seconds
differ by ±14 % and five rounds cannot tell 0.95 from 1. Servers that take turns every fifth of a second see the same
machine: of two servers that are the same, ten rounds of five seconds find 1.00 ± 0.013. Who rests is stopped with
SIGSTOP, and its callers wait, so this tells how much each gets done and says nothing about latency. Servers need homes
of their own: one that is stopped amid a transaction would keep the others from writing.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from benchmarks.frame import WARM_UP_S, load, order
from benchmarks.questions import Question, RightLabel
from benchmarks.stage import Server
from cli.load.result import LoadResult

SLICE_S = 0.2
"""Long beside the switch, which empties the caches, and short beside the machine's moods."""


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


def play_in_slices(
    servers: Mapping[str, Server], questions: Sequence[Question], *, clients: int, rounds: int, seconds: float
) -> dict[str, list[LoadResult]]:
    """Closed loops of `clients` against each server; by its name what it did in each round.

    seconds: that each may run a round, about. A result's `seconds` are those in which its server ran; its latencies
    contain the times when it rested. Raises LoadFailed.
    """
    found: dict[str, list[LoadResult]] = {name: [] for name in servers}
    for number in range(rounds):
        names = order(list(servers), number)
        for name, result in _round({name: servers[name] for name in names}, questions, clients, seconds).items():
            found[name].append(result)
    return found


def _round(
    servers: Mapping[str, Server], questions: Sequence[Question], clients: int, seconds: float
) -> dict[str, LoadResult]:
    check = RightLabel(questions)

    def ask(server: Server) -> LoadResult:
        requests = [question.request(server.address) for question in questions]
        return load(
            server.address,
            requests,
            clients=clients,
            seconds=seconds * len(servers),
            check=check,
            warm_up_s=WARM_UP_S * len(servers),
        )

    with ThreadPoolExecutor(len(servers)) as pool:
        loads = {name: pool.submit(ask, server) for name, server in servers.items()}
        try:
            slices = _take_turns(servers, list(loads.values()))
        finally:  # or the loads would wait for them
            for server in servers.values():
                server.wake()
    results = {name: future.result() for name, future in loads.items()}
    return {
        name: replace(result, seconds=ran_s(slices, name, result.began, result.began + result.seconds))
        for name, result in results.items()
    }


def _take_turns(servers: Mapping[str, Server], loads: Sequence[Future[LoadResult]]) -> list[Slice]:
    """Until all loads are over or one has failed. All servers sleep in the end."""
    slices: list[Slice] = []
    for server in servers.values():
        server.sleep()
    while not all(load.done() for load in loads) and not any(map(_has_failed, loads)):
        for name, server in servers.items():
            began = time.perf_counter()
            server.wake()
            time.sleep(SLICE_S)
            server.sleep()
            slices.append(Slice(name, began, time.perf_counter()))
    return slices


def _has_failed(load: Future[LoadResult]) -> bool:
    return load.done() and load.exception() is not None

"""The measuring: interleaved rounds in which every server has the cores to itself for its turn."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median

from benchmarks.peers.processes import Tree, last_lines, marked, running
from benchmarks.peers.roster import DRIFTGATE, Peer, Protocol, Variant
from benchmarks.peers.workloads import Questions, RightAnswer, Workload
from benchmarks.slices import Side, round_in_slices
from benchmarks.stage import free_port, serving
from cli.load.apart import run_apart
from cli.load.closed import run_closed
from cli.load.connection import Address
from cli.load.result import LoadResult
from store.errors import Broken, DriftgateError

WARM_UP_S = 0.5
"""Of each turn. What a server needs to get going at all it gets once, when it has started."""
_GET_GOING_S = 4.0
_GRACE_S = 20.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One server's figures under one load in one round."""

    server: str
    workload: str
    clients: int
    round: int
    texts_per_s: float
    p50_ms: float
    p99_ms: float
    answers: int
    wrong: int
    failures: int


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server that is up; asleep unless it is its turn."""

    name: str
    address: Address
    protocol: Protocol
    tolerance: float
    tree: Tree
    most_wrong: float = 0.01
    """Share of answers that may be wrong when it gets going."""


@dataclass(slots=True)
class Results:
    turns: list[Turn] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """By server: why it could not be measured."""

    def of(self, workload: str, clients: int, server: str) -> list[Turn]:
        wanted = (workload, clients, server)
        return [turn for turn in self.turns if (turn.workload, turn.clients, turn.server) == wanted]

    def ratio(self, workload: str, clients: int, server: str, other: str) -> float | None:
        """Median over the rounds of texts/s of `server` to those of `other` in the same round."""
        others = {turn.round: turn.texts_per_s for turn in self.of(workload, clients, other)}
        mine = self.of(workload, clients, server)
        ratios = [turn.texts_per_s / others[turn.round] for turn in mine if others.get(turn.round)]
        return median(ratios) if ratios else None


@contextmanager
def peer_up(peer: Peer, model: Path, folder: Path) -> Iterator[Contestant]:
    """Raises DriftgateError when it cannot be installed or started."""
    folder.mkdir(parents=True, exist_ok=True)
    address = Address("127.0.0.1", free_port())
    start = peer.start(address.port, folder)
    environment = {**start.environment, "BENCH_MODEL": str(model)}
    with running(start.command, environment=environment, folder=folder, is_ready=lambda: _answers(address, peer)) as t:
        yield Contestant(peer.name, address, peer.protocol, 1e-3, t)


@contextmanager
def driftgate_up(variant: Variant, home: Path) -> Iterator[Contestant]:
    """With the settings of `variant` alone. Raises Broken when it does not start."""
    before = {name: os.environ.get(name) for name in variant.environment}
    with ExitStack() as stack:
        tree = stack.enter_context(marked())
        os.environ.update(variant.environment)
        port = free_port()
        try:
            stack.enter_context(serving(home, port=port))
        except RuntimeError as error:
            raise Broken(f"{error}: {last_lines(home / 'serve.log')}") from None
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        stack.callback(tree.wake)  # it could not stop in its sleep
        yield Contestant(
            variant.name, Address("127.0.0.1", port), DRIFTGATE, variant.tolerance, tree, variant.most_wrong
        )


def measure(
    contestants: Sequence[Contestant],
    workload: Workload,
    questions: Questions,
    clients: Sequence[int],
    *,
    rounds: int,
    seconds: float,
    results: Results,
) -> Iterator[Turn]:
    """Yields each turn as it is over, and adds it to `results`. Each round begins with another server."""
    for number in range(rounds):
        for count in clients:
            shift = number % max(1, len(contestants))
            for contestant in (*contestants[shift:], *contestants[:shift]):
                try:
                    turn = _turn(contestant, workload, questions, count, number, seconds)
                except DriftgateError as error:
                    results.problems[f"{contestant.name}, {workload.name}, {count} clients"] = str(error)
                    continue
                results.turns.append(turn)
                yield turn


def measure_in_slices(
    contestants: Sequence[Contestant],
    workload: Workload,
    questions: Questions,
    clients: Sequence[int],
    *,
    rounds: int,
    seconds: float,
    results: Results,
) -> None:
    """As `measure`, but all have their load at the same time and run in slices; see benchmarks.slices.

    Raises LoadFailed: with one of them gone there is nothing to compare.
    """
    settled = {contestant.name: contestant.tree.settled() for contestant in contestants}
    for number in range(rounds):
        for count in clients:
            sides = {
                contestant.name: Side(settled[contestant.name], partial(_load, contestant, questions, count))
                for contestant in contestants
            }
            found = round_in_slices(sides, number, seconds * workload.stretch)
            results.turns += [
                _as_turn(contestant, workload, count, number, found[contestant.name]) for contestant in contestants
            ]


def get_going(contestant: Contestant, workload: Workload, questions: Questions) -> None:
    """Warm up what adapts itself, leave it asleep. Raises DriftgateError when its answers are wrong."""
    result = _load(contestant, questions, min(8, max(workload.clients)), _GET_GOING_S)
    contestant.tree.sleep()
    asked = sum(result.by_status.values()) + result.failures
    if result.errors > contestant.most_wrong * asked:
        raise WrongAnswers(f"of {asked} answers {result.errors} were wrong; by status {dict(result.by_status)}")


class WrongAnswers(Broken):
    kind = "wrong-answers"
    title = "A server gives wrong answers"


def _turn(
    contestant: Contestant, workload: Workload, questions: Questions, clients: int, number: int, seconds: float
) -> Turn:
    contestant.tree.wake()
    try:
        result = _load(contestant, questions, clients, seconds * workload.stretch)
    finally:
        contestant.tree.sleep()
    return _as_turn(contestant, workload, clients, number, result)


def _as_turn(contestant: Contestant, workload: Workload, clients: int, number: int, result: LoadResult) -> Turn:
    return Turn(
        server=contestant.name,
        workload=workload.name,
        clients=clients,
        round=number,
        texts_per_s=result.per_s * workload.texts_per_request,
        p50_ms=result.percentile_ms(50),
        p99_ms=result.percentile_ms(99),
        answers=len(result.latencies_s),
        wrong=result.wrong,
        failures=result.errors - result.wrong,
    )


def _load(
    contestant: Contestant, questions: Questions, clients: int, seconds: float, warm_up_s: float = WARM_UP_S
) -> LoadResult:
    return run_apart(
        run_closed,
        warm_up_s + seconds + _GRACE_S + 30,
        None,
        contestant.address,
        questions.requests(contestant.address, contestant.protocol),
        clients=clients,
        seconds=seconds,
        warm_up_s=warm_up_s,
        grace_s=_GRACE_S,
        check=RightAnswer(questions.expected, contestant.protocol, contestant.tolerance),
    )


def _answers(address: Address, peer: Peer) -> bool:
    """Whether a real question is answered: a health route says yes too early in some of them."""
    connection = HTTPConnection(address.host, address.port, timeout=20)
    try:
        body = json.dumps(peer.protocol.body(["are you there"]))
        connection.request("POST", peer.protocol.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status == 200 and len(peer.protocol.answers(json.loads(answer.read()))) == 1
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()

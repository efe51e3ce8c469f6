"""What the benchmarks of our claims share: interleaved rounds, ratios within a round, and one line a figure."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan
from statistics import median
from typing import TypeVar

import structlog

from benchmarks.stage import machine
from cli.load.apart import run_apart
from cli.load.closed import run_closed
from cli.load.connection import Address
from cli.load.result import Check, LoadResult

T = TypeVar("T")

WARM_UP_S = 0.5
"""Of each turn."""
_GRACE_S = 20.0
_START_UP_S = 30.0


@dataclass(frozen=True, slots=True)
class Promise:
    """What a claim says a ratio will be: from `low` to `high`."""

    low: float
    high: float

    def kept(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.high == inf:
            return f"promised at least {self.low:.2f}"
        if self.low == -inf:
            return f"promised at most {self.high:.2f}"
        return f"promised {self.low:.2f} to {self.high:.2f}"


def at_least(bound: float) -> Promise:
    return Promise(bound, inf)


def at_most(bound: float) -> Promise:
    return Promise(-inf, bound)


def options(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options of every benchmark; a script may add its own."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=doc)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds",
        type=float,
        default=3.0,
        help="of each turn; in slices, that each server runs a round (default: %(default)s)",
    )
    parser.add_argument("--texts", type=int, default=2_000, help="different ones to ask (default: %(default)s)")
    return parser


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Say where the figures come from. SIGTERM ends the servers as well from now on."""
    asked = parser.parse_args()
    end_servers_on_sigterm()
    tell(machine())
    return asked


def end_servers_on_sigterm() -> None:
    """Leave by way of the context managers, which end what they started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def play(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Give each side its turn once a round, in another order each time; what they yield, in the order of the rounds."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in order(list(sides), number):
            found[name].append(sides[name]())
    return found


def order(names: Sequence[str], number: int) -> list[str]:
    """Who comes when in round `number`: each begins as often as the others, and two take turns."""
    shift = number % max(1, len(names))
    return [*names[shift:], *names[:shift]]


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round; NaN where there is nothing to compare with."""
    return [a / b if b else nan for a, b in zip(over, under, strict=True)]


def claim_line(name: str, found: Sequence[float], promise: Promise) -> str:
    """found: a ratio a round."""
    middle = _middle(found)
    missed = "" if promise.kept(middle) else ", MISSED"
    each = " ".join(f"{value:.2f}" for value in found)
    rounds = f"median of {len(found)} rounds" if len(found) > 1 else "1 round"
    return f"{name}: {middle:.2f} ({promise}{missed}) {rounds} [{each}]"


def figure_line(name: str, values: Sequence[float] | float, unit: str) -> str:
    """values: one, or one a round, of which the median is shown."""
    value = values if isinstance(values, (int, float)) else _middle(values)
    return f"{name}: {_short(value)} {unit}".rstrip()


def tell(line: str) -> None:
    """At once, though what prints may be a pipe: a benchmark takes minutes."""
    print(line, flush=True)


def quiet_logs() -> None:
    """What parts of the server say when they run in this process would stand between the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def load(
    address: Address,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    check: Check | None,
    warm_up_s: float = WARM_UP_S,
) -> LoadResult:
    """A closed loop, made in a process of its own. Raises LoadFailed."""
    return run_apart(
        run_closed,
        warm_up_s + seconds + _GRACE_S + _START_UP_S,
        None,
        address,
        requests,
        clients=clients,
        seconds=seconds,
        warm_up_s=warm_up_s,
        grace_s=_GRACE_S,
        check=check,
    )


def errors_line(results: Sequence[LoadResult]) -> str:
    wrong = sum(result.errors for result in results)
    asked = sum(sum(result.by_status.values()) + result.failures + result.unsent for result in results)
    return f"answers that were wrong or failed: {wrong} of {asked:,}"


def _middle(values: Sequence[float]) -> float:
    good = [value for value in values if isfinite(value)]
    return median(good) if good else nan


def _short(value: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

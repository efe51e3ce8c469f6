"""Latency at one load after the other: the figures behind the table and the picture of `driftgate bench`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cli.load.apart import run_apart
from cli.load.closed import run_closed
from cli.load.connection import Address
from cli.load.result import LoadResult

_WARM_UP_S = 0.3
_GRACE_S = 10.0
_START_UP_S = 30.0
"""What the load's own process may need to begin, and to hand over its result."""


@dataclass(frozen=True, slots=True)
class Level:
    """So many callers at once, each of which asks again as soon as it is answered."""

    clients: int
    requests: int
    requests_per_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    errors: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def level_of(clients: int, result: LoadResult) -> Level:
    p50_s, p95_s, p99_s = (result.percentile_s(percent) for percent in (50, 95, 99))
    return Level(clients, len(result.latencies_s), result.per_s, p50_s, p95_s, p99_s, result.errors)


def measure_levels(
    address: Address,
    requests: Sequence[bytes],
    counts: Sequence[int],
    *,
    seconds: float,
    progress: Callable[[str, float], None],
) -> Iterator[Level]:
    """In a process of its own, one level after the other. Raises LoadFailed.

    progress: called with the stage and the share that is done.
    """
    turn_s = _WARM_UP_S + seconds
    for i, clients in enumerate(counts):
        tell = _Teller(progress, f"{clients} client{'s' if clients > 1 else ''}", i, len(counts), turn_s)
        tell(0.0)
        result = run_apart(
            run_closed,
            turn_s + _GRACE_S + _START_UP_S,
            tell,
            address,
            requests,
            clients=clients,
            seconds=seconds,
            warm_up_s=_WARM_UP_S,
            grace_s=_GRACE_S,
        )
        yield level_of(clients, result)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Turns the seconds of one level into the share of all."""

    progress: Callable[[str, float], None]
    stage: str
    number: int
    levels: int
    turn_s: float

    def __call__(self, passed_s: float) -> None:
        self.progress(self.stage, (self.number + min(1.0, passed_s / self.turn_s)) / self.levels)

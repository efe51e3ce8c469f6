"""The geometry of the console's small charts: readings in, shapes out. What is drawn around them is the template's.

All charts have one size, so that they stand beside each other and can be read at the width of a phone; a page scales
them. Units are those of the picture: x to the right, y downwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from math import floor, log10

WIDTH, HEIGHT = 360, 172
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 14, 146
"""Edges of the plot."""

P_FLOOR = 1e-6
"""A p-value cannot be smaller than one in as many random deals as were compared, some thousands; one that is 0 all the
same, from an old release, is drawn here."""

MOST_TIME_TICKS = 4
_STEPS = tuple(
    timedelta(**{unit: count})
    for unit, counts in {
        "minutes": (1, 5, 15, 30),
        "hours": (1, 3, 6, 12),
        "days": (1, 2, 3, 7, 14, 30, 90, 365),
    }.items()
    for count in counts
)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MONDAY = datetime(2000, 1, 3, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure of one check."""

    at: datetime
    version: int
    value: float
    limit: float | None = None
    """What it is compared with."""
    low: float | None = None
    high: float | None = None
    """Its interval."""
    found: bool = False
    chosen: bool = False
    """The check that the page speaks of."""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A reading in its place."""

    x: float
    y: float
    low: float
    high: float
    """Ends of its interval; both are `y` where it has none."""
    found: bool
    chosen: bool
    told: str


@dataclass(frozen=True, slots=True)
class Tick:
    place: float
    words: str


@dataclass(frozen=True, slots=True)
class Axis:
    """What the lower and the upper edge stand for, and what is written beside it."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    marks: tuple[Mark, ...]
    """Oldest first."""
    lines: tuple[str, ...]
    """Points of one line for each version."""
    limit: str
    """Path of the line that readings are compared with; empty if there is none."""
    limit_starts: float | None
    """Where that line meets the left edge."""
    times: tuple[Tick, ...]
    values: tuple[Tick, ...]
    versions: tuple[Tick, ...]
    """Where another version was checked for the first time."""


def drift_score(p_value: float) -> float:
    """-log10(p), as `driftgate_drift_score` has it: 2 is one chance in a hundred, each 1 more is ten times rarer."""
    return -log10(min(max(p_value, P_FLOOR), 1.0))


def score_axis(scores: Sequence[float]) -> Axis:
    """From p = 1 up to a little above the highest of `scores`."""
    high = max([*scores, 2.0]) * 1.08
    return Axis(0.0, high, tuple((float(k), f"{10.0**-k:g}") for k in range(floor(high) + 1)))


def share_axis(shares: Sequence[float]) -> Axis:
    """In whole steps around `shares`, each 0 to 1, with five ticks at most and not below 0 or above 1."""
    low, high = (min(shares), max(shares)) if shares else (0.0, 1.0)
    for step_percent in (2, 5, 10, 25):
        first = max(floor(low * 100 / step_percent), 0)
        last = min(-floor(-high * 100 / step_percent), 100 // step_percent)
        if first == last:
            first, last = (first - 1, last) if last else (0, 1)
        if last - first <= 4:
            break
    percents = range(first * step_percent, last * step_percent + 1, step_percent)
    return Axis(percents[0] / 100, percents[-1] / 100, tuple((p / 100, f"{p} %") for p in percents))


def time_ticks(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Round instants between the two, `MOST_TIME_TICKS` at most; days where an hour would not say which day."""
    for step in _STEPS:
        start = _EPOCH if step < timedelta(days=7) else _MONDAY
        begin = start - (start - first) // step * step  # the first round instant not before `first`
        count = (last - begin) // step + 1
        if count <= MOST_TIME_TICKS:
            return [(at, _time(at)) for at in (begin + i * step for i in range(count))]
    return []


def draw(readings: Sequence[Reading], axis: Axis, first: datetime, last: datetime) -> Chart:
    """readings: oldest first, all between `first` and `last`."""

    def across(at: datetime) -> float:
        share = (at - first) / (last - first) if last > first else 0.5
        return round(LEFT + share * (RIGHT - LEFT), 1)

    def down(value: float) -> float:
        share = (value - axis.low) / (axis.high - axis.low)
        return round(BOTTOM - min(max(share, 0.0), 1.0) * (BOTTOM - TOP), 1)

    marks = tuple(
        Mark(
            x=across(reading.at),
            y=down(reading.value),
            low=down(reading.value if reading.low is None else reading.low),
            high=down(reading.value if reading.high is None else reading.high),
            found=reading.found,
            chosen=reading.chosen,
            told=f"{reading.at:%Y-%m-%d %H:%M} UTC: {reading.told}",
        )
        for reading in readings
    )
    placed = list(zip(readings, marks, strict=True))
    of_version = [list(group) for _, group in groupby(placed, key=lambda pair: pair[0].version)]
    limits = [(mark.x, down(reading.limit)) for reading, mark in placed if reading.limit is not None]
    return Chart(
        marks=marks,
        lines=tuple(" ".join(f"{mark.x},{mark.y}" for _, mark in group) for group in of_version),
        limit=_stairs(limits),
        limit_starts=limits[0][1] if limits else None,
        times=tuple(Tick(across(at), words) for at, words in time_ticks(first, last)),
        values=tuple(Tick(down(value), words) for value, words in axis.ticks),
        versions=tuple(
            Tick(_between(before[-1][1].x, after[0][1].x), f"v{after[0][0].version}")
            for before, after in pairwise(of_version)
        ),
    )


def _stairs(points: Sequence[tuple[float, float]]) -> str:
    """From edge to edge, with a step halfway between two points that differ."""
    if not points:
        return ""
    path = f"M{LEFT} {points[0][1]}"
    for (x, y), (next_x, next_y) in pairwise(points):
        if next_y != y:
            path += f"H{_between(x, next_x)}V{next_y}"
    return f"{path}H{RIGHT}"


def _between(a: float, b: float) -> float:
    return round((a + b) / 2, 1)


def _time(at: datetime) -> str:
    return f"{at:%H:%M}" if at.hour or at.minute else f"{at.day} {at:%b}"

"""The geometry of a model card's pictures: figures in, shapes out. What is drawn around them is the template's.

As in charts.py, units are those of the picture: x to the right, y downwards. A picture's height grows with its rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from server.console.charts import Tick, share_axis

WIDTH = 520
_LEFT, _RIGHT = 118, 492
_ROW, _TOP, _FOOT = 26, 8, 24
_SIDE, _EDGE = 220, 34
"""Of the square of a reliability diagram, and where it begins."""
MOST_CELLS = 30
"""Classes of a heat map; of more, those that are confused most are drawn."""
_BLOCK = 15
_CELL = 16


@dataclass(frozen=True, slots=True)
class Dot:
    """A figure with its interval, on a line of its own."""

    name: str
    x: float
    y: float
    low: float
    high: float
    told: str
    main: bool
    """Of the version that the page speaks of."""
    beyond: str
    """What to write at the left edge, where it lies too far below the others to be drawn among them; else empty."""


@dataclass(frozen=True, slots=True)
class DotChart:
    height: int
    bottom: int
    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    line: float | None
    """Where the version itself lies, to compare the others with."""


@dataclass(frozen=True, slots=True)
class Pillar:
    """A bin of a reliability diagram."""

    x: float
    y: float
    low: float
    high: float
    told: str


@dataclass(frozen=True, slots=True)
class Cell:
    x: float
    y: float
    share: float
    """Of the true rows of its class, 0 to 1."""
    right: bool
    told: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    side: int
    cells: tuple[Cell, ...]
    labels: tuple[str, ...]
    """From the top down, and from left to right."""
    places: tuple[float, ...]
    """Middle of each row and column."""
    whole: bool
    """Whether all classes are there."""


def dot_chart(rows: Sequence[Mapping[str, Any]]) -> DotChart:
    """rows: each with `name`, `told`, `value`, `low` and `high`, shares; the first is the version itself.

    One that lies further below all others than these lie apart is told at the edge: it would press them together.
    """
    floor = _floor(rows)
    axis = share_axis([row[edge] for row in rows if row["low"] >= floor for edge in ("low", "high")])

    def across(value: float) -> float:
        share = (value - axis.low) / (axis.high - axis.low)
        return round(_LEFT + min(max(share, 0.0), 1.0) * (_RIGHT - _LEFT), 1)

    bottom = _TOP + _ROW * len(rows)
    return DotChart(
        height=bottom + _FOOT,
        bottom=bottom,
        dots=tuple(
            Dot(
                name=row["name"],
                x=across(row["value"]),
                y=_TOP + _ROW * i + _ROW / 2,
                low=across(row["low"]),
                high=across(row["high"]),
                told=row["told"],
                main=i == 0,
                beyond=f"{100 * row['value']:.1f} %" if row["low"] < floor else "",
            )
            for i, row in enumerate(rows)
        ),
        ticks=tuple(Tick(across(value), words) for value, words in axis.ticks),
        line=across(rows[0]["value"]) if rows else None,
    )


def _floor(rows: Sequence[Mapping[str, Any]]) -> float:
    """The least lower end that is drawn; never above that of the version itself."""
    lows = sorted(row["low"] for row in rows)
    highest = max((row["high"] for row in rows), default=1.0)
    for below, low in pairwise(lows):
        if low - below > highest - low and low <= rows[0]["low"]:
            return float(low)
    return 0.0


def reliability_diagram(bins: Sequence[Mapping[str, Any]]) -> list[Pillar]:
    """bins: each with `confidence`, `accuracy`, `low`, `high` and `rows`."""

    def right(share: float) -> float:
        return round(_EDGE + share * _SIDE, 1)

    def up(share: float) -> float:
        return round(_TOP + (1 - share) * _SIDE, 1)

    return [
        Pillar(
            x=right(one["confidence"]),
            y=up(one["accuracy"]),
            low=up(one["low"]),
            high=up(one["high"]),
            told=f"{one['rows']} rows: {one['confidence']:.0%} sure, {one['accuracy']:.0%} right",
        )
        for one in bins
    ]


def heat_map(counts: Sequence[Sequence[Any]], confused: Sequence[Mapping[str, Any]]) -> HeatMap | None:
    """counts: true label, answered label, rows; confused: the pairs that are mistaken most, with `true` and `answered`.

    None where there are too many classes and none is mistaken for another.
    """
    known = sorted({str(label) for true, answer, _ in counts for label in (true, answer)})
    labels = known if len(known) <= MOST_CELLS else _worst(confused)
    if not labels:
        return None
    of_class: dict[str, int] = {}
    for true, _, rows in counts:
        of_class[true] = of_class.get(true, 0) + rows
    place = {label: i for i, label in enumerate(labels)}
    cells = tuple(
        Cell(
            x=place[answer] * _CELL,
            y=place[true] * _CELL,
            share=round(rows / of_class[true], 3),
            right=true == answer,
            told=f"{true} answered as {answer}: {rows} of {of_class[true]} rows",
        )
        for true, answer, rows in counts
        if true in place and answer in place
    )
    return HeatMap(
        side=len(labels) * _CELL,
        cells=cells,
        labels=tuple(labels),
        places=tuple((i + 0.5) * _CELL for i in range(len(labels))),
        whole=len(labels) == len(known),
    )


def _worst(confused: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels of the pairs that are mistaken most, so that a pair stands side by side."""
    labels: dict[str, None] = {}
    for pair in confused:
        labels |= dict.fromkeys((pair["true"], pair["answered"]))
    return list(labels)[:_BLOCK]

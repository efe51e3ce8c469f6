"""The geometry of a training's curves: figures by step in, shapes out. What is drawn around them is the template's.

Size and edges are those of every chart of the console.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf, isfinite, log10

from server.console.charts import BOTTOM, LEFT, RIGHT, TOP, Axis, Tick

MOST_TICKS = 6
MARKED_POINTS = 40
"""A line of more points is drawn without a mark on each."""


@dataclass(frozen=True, slots=True)
class Series:
    """Figures of one name."""

    name: str
    kind: str
    """What the style sheet calls it: training or validation."""
    points: tuple[tuple[int, float], ...]
    """(step, value), in order of the steps."""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    told: str


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    kind: str
    line: str
    """Points of a polyline."""
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    curves: tuple[Curve, ...]
    values: tuple[Tick, ...]
    steps: tuple[Tick, ...]
    kept: float | None
    """Where the step lies whose weights were kept."""


def series_of(figures: Mapping[int, Mapping[str, float]], name: str, *, told: str, kind: str, unit: str = "") -> Series:
    """The figure `name` of each step that has it; what is not finite cannot be drawn and is left out."""
    points = tuple((step, values[name]) for step, values in sorted(figures.items()) if isfinite(values.get(name, inf)))
    return Series(told, kind, points, unit)


def round_axis(values: Sequence[float], *, lowest: float = -inf, highest: float = inf, unit: str = "") -> Axis:
    """Around `values` in steps of 1, 2 or 5 times a power of ten, with `MOST_TICKS` at most, within the bounds."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = max(lowest, low - 0.5), min(highest, high + 0.5)
    step = _round_step((high - low) / (MOST_TICKS - 2))
    first = max(floor(low / step + 1e-9), -inf if lowest == -inf else round(lowest / step))
    last = min(-floor(-high / step + 1e-9), inf if highest == inf else round(highest / step))
    ticks = [round(number * step, 12) for number in range(int(first), int(last) + 1)]
    return Axis(ticks[0], ticks[-1], tuple((tick, f"{tick:g}{unit}") for tick in ticks))


def draw_curves(series: Sequence[Series], axis: Axis, *, last_step: int, kept_step: int | None = None) -> Curves:
    """All series on one picture, from step 0 to `last_step`, which is 1 or more and not before any of theirs."""

    def across(step: float) -> float:
        return round(LEFT + step / last_step * (RIGHT - LEFT), 1)

    def down(value: float) -> float:
        share = (value - axis.low) / (axis.high - axis.low)
        return round(BOTTOM - min(max(share, 0.0), 1.0) * (BOTTOM - TOP), 1)

    def curve(one: Series) -> Curve:
        places = [(across(step), down(value)) for step, value in one.points]
        marked = one.kind == "validation" or len(places) <= MARKED_POINTS
        dots = (
            Dot(x, y, f"step {step}: {one.name} {value:.4g}{one.unit}")
            for (x, y), (step, value) in zip(places, one.points, strict=True)
        )
        return Curve(one.name, one.kind, " ".join(f"{x},{y}" for x, y in places), tuple(dots) if marked else ())

    steps = [tick for tick, _ in round_axis([0, last_step], lowest=0).ticks if tick <= last_step and tick == int(tick)]
    return Curves(
        curves=tuple(curve(one) for one in series if one.points),
        values=tuple(Tick(down(value), words) for value, words in axis.ticks),
        steps=tuple(Tick(across(step), f"{step:,.0f}") for step in steps),
        kept=None if kept_step is None else across(kept_step),
    )


def _round_step(least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is `least` or more."""
    power = 10.0 ** floor(log10(least))
    return next(float(times * power) for times in (1, 2, 5, 10) if times * power >= least * (1 - 1e-9))

"""Latency against load as a self-contained SVG: two lines on a logarithmic scale, readable in light and in dark."""

from collections.abc import Sequence
from math import ceil, floor, isfinite, log10

from cli.load.level import Level
from cli.svg import opening, text

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 64, 78, 86
_STYLE = """
 .band { fill: #2f6fde; opacity: .10 } .p50 { stroke: #2f6fde } .p99 { stroke: #d1491f }
 .dot50 { fill: #2f6fde } .dot99 { fill: #d1491f } .line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
 .dot50, .dot99 { stroke: #ffffff; stroke-width: 1.5 }
 @media (prefers-color-scheme: dark) {
  .band { fill: #6ea2ff; opacity: .14 } .p50 { stroke: #6ea2ff } .p99 { stroke: #ff8a5c }
  .dot50 { fill: #6ea2ff } .dot99 { fill: #ff8a5c } .dot50, .dot99 { stroke: #12171d }
 }
"""


def latency_picture(levels: Sequence[Level], *, title: str) -> str:
    """p50 and p99 in milliseconds over the number of clients, with what was answered a second below each."""
    shown = [level for level in levels if isfinite(level.p50_s)]
    low, high = _decades([1000 * s for level in shown for s in (level.p50_s, level.p99_s)])
    xs = [_x(i, len(shown)) for i in range(len(shown))]
    p50 = [(x, _y(1000 * level.p50_s, low, high)) for x, level in zip(xs, shown, strict=True)]
    p99 = [(x, _y(1000 * level.p99_s, low, high)) for x, level in zip(xs, shown, strict=True)]
    parts = [
        *opening(_WIDTH, _HEIGHT, title=f"Latency against load: {title}", style=_STYLE),
        text(_LEFT, 32, "Latency against load", "ink", size=18, weight=600),
        text(_LEFT, 52, title, "soft", size=13),
        *_horizontal_grid(low, high),
        *_bottom_axis(xs, shown),
    ]
    if shown:
        outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*p50, *reversed(p99)])
        parts.append(f'<polygon class="band" points="{outline}"/>')
        for name, points, seconds in (("99", p99, "p99_s"), ("50", p50, "p50_s")):
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline class="line p{name}" points="{line}"/>')
            for (x, y), level in zip(points, shown, strict=True):
                said = f"{level.clients} clients: p{name} {_ms(1000 * getattr(level, seconds))} ms"
                parts.append(
                    f'<circle class="dot{name}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"><title>{said}</title></circle>'
                )
        parts += _end_labels(p50[-1], p99[-1])
    else:
        parts.append(text(_WIDTH / 2, _HEIGHT / 2, "nothing was answered", "soft", anchor="middle"))
    return "\n".join([*parts, "</svg>", ""])


def _horizontal_grid(low: int, high: int) -> list[str]:
    parts = []
    for decade in range(low, high + 1):
        for step in (1, 2, 5):
            ms = step * 10.0**decade
            if ms <= 10.0**high:
                y = _y(ms, low, high)
                parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
                parts.append(text(_LEFT - 10, y + 4, _ms(ms), "soft", anchor="end"))
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = f'transform="rotate(-90 22 {middle})"'
    return [*parts, text(22, middle, "latency, ms (log scale)", "ink", anchor="middle", more=turned)]


def _bottom_axis(xs: Sequence[float], levels: Sequence[Level]) -> list[str]:
    base = _HEIGHT - _BOTTOM
    parts = [f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>']
    for x, level in zip(xs, levels, strict=True):
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 5}"/>')
        parts.append(text(x, base + 21, str(level.clients), "ink", anchor="middle", weight=600))
        parts.append(text(x, base + 38, f"{level.requests_per_s:,.0f}/s", "soft", anchor="middle"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [*parts, text(middle, base + 66, "clients at once, and requests answered a second", "ink", anchor="middle")]


def _end_labels(p50: tuple[float, float], p99: tuple[float, float]) -> list[str]:
    """Names of the lines at their right ends, kept apart where the lines meet."""
    y50 = max(p50[1], p99[1] + 16)
    return [
        text(p99[0] + 12, p99[1] + 4, "p99", "dot99", weight=600, more='style="stroke:none"'),
        text(p50[0] + 12, y50 + 4, "p50", "dot50", weight=600, more='style="stroke:none"'),
    ]


def _decades(values_ms: Sequence[float]) -> tuple[int, int]:
    """Powers of ten that hold all values, and at least one decade."""
    good = [value for value in values_ms if value > 0]
    low = floor(log10(min(good))) if good else 0
    return low, max(low + 1, ceil(log10(max(good)))) if good else 1


def _x(i: int, count: int) -> float:
    room = _WIDTH - _LEFT - _RIGHT
    return _LEFT + room * ((i + 0.5) / count if count else 0.5)


def _y(ms: float, low: int, high: int) -> float:
    share = (log10(max(ms, 10.0**low)) - low) / (high - low)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

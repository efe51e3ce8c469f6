"""Latency against load for the terminal: a line a level, from p50 to p99 on a logarithmic scale."""

from collections.abc import Sequence
from math import isfinite, log10

from rich.console import RenderableType
from rich.text import Text

from cli.load.level import Level

_COLUMNS = 56


def latency_chart(levels: Sequence[Level]) -> RenderableType:
    """Nothing but a remark where nothing was answered."""
    shown = [level for level in levels if isfinite(level.p50_s)]
    if not shown:
        return Text("nothing was answered")
    low = log10(min(level.p50_s for level in shown))
    high = max(log10(max(level.p99_s for level in shown)), low + 0.3)
    drawn = Text()
    drawn.append(f"{'clients':>8}  ")
    drawn.append("●", "blue")
    drawn.append(" p50 to ")
    drawn.append("●", "red")
    drawn.append(" p99, log scale\n")
    for level in shown:
        at50, at99 = (_column(s, low, high) for s in (level.p50_s, level.p99_s))
        drawn.append(f"{level.clients:>8}  {' ' * at50}")
        drawn.append("●", "blue")
        if at99 > at50:
            drawn.append("─" * (at99 - at50 - 1), "dim")
            drawn.append("●", "red")
        drawn.append(f" {level.p50_s * 1000:.1f} to {level.p99_s * 1000:.1f} ms\n")
    drawn.rstrip()
    return drawn


def _column(seconds: float, low: float, high: float) -> int:
    return round((log10(seconds) - low) / (high - low) * _COLUMNS)

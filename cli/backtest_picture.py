"""What every signal said in every window, as a self-contained SVG: one row a signal, one cell a window."""

from collections.abc import Sequence
from html import escape
from math import log10
from typing import TYPE_CHECKING

from cli.svg import opening, text

if TYPE_CHECKING:  # the extra `monitor` may be missing
    from monitor.decision import DriftDecision, Evidence

_LEFT, _RIGHT, _TOP, _ROW = 190, 30, 84, 34
_ROOM = 760
"""Width of all cells together."""
_STYLE = """
 .calm { fill: #2f6fde } .alarm { fill: #d1491f } .line { stroke: #d1491f; stroke-width: 1.5; stroke-dasharray: 4 3 }
 .suspected { fill: #e9a23b } .drift { fill: #d1491f } .stable { fill: #cfd6dd }
 @media (prefers-color-scheme: dark) {
  .calm { fill: #6ea2ff } .alarm { fill: #ff8a5c } .line { stroke: #ff8a5c }
  .suspected { fill: #e9b45e } .drift { fill: #ff8a5c } .stable { fill: #38434e }
 }
"""
_MOST = 2.0
"""Bars end at so many times what an alarm needs."""


def backtest_picture(decisions: Sequence["DriftDecision"], *, title: str) -> str:
    """A bar's height is its evidence, log p over log of the threshold: at the dashed line it is an alarm."""
    names = list(decisions[0].signals)
    height = _TOP + (len(names) + 1) * _ROW + 62
    width = _LEFT + _ROOM + _RIGHT
    step = _ROOM / len(decisions)
    parts = [
        *opening(width, height, title=f"Backtest: {title}", style=_STYLE),
        text(_LEFT, 32, "What the drift check would have said", "ink", size=18, weight=600),
        text(_LEFT, 52, title, "soft", size=13),
    ]
    for row, name in enumerate(names):
        base = _TOP + (row + 1) * _ROW - 4
        full = _ROW - 8
        parts.append(text(_LEFT - 12, base - 8, name.replace("_", " "), "ink", anchor="end"))
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _ROOM}" y1="{base}" y2="{base}"/>')
        for i, decision in enumerate(decisions):
            found = decision.signals[name]
            tall = full * min(_evidence(found), _MOST) / _MOST
            said = f"window {i + 1}: p = {found.p_value:.2g}, alarm at {found.threshold:.2g}"
            kind = "alarm" if found.drifted else "calm"
            parts.append(
                f'<rect class="{kind}" x="{_LEFT + i * step:.2f}" y="{base - tall:.1f}" '
                f'width="{max(step * 0.85, 0.3):.2f}" height="{tall:.1f}"><title>{escape(said)}</title></rect>'
            )
        line = base - full / _MOST
        parts.append(f'<line class="line" x1="{_LEFT}" x2="{_LEFT + _ROOM}" y1="{line:.1f}" y2="{line:.1f}"/>')
    base = _TOP + (len(names) + 1) * _ROW - 4
    parts.append(text(_LEFT - 12, base - 8, "verdict", "ink", anchor="end", weight=600))
    for i, decision in enumerate(decisions):
        verdict = decision.verdict.value
        parts.append(
            f'<rect class="{verdict}" x="{_LEFT + i * step:.2f}" y="{base - 18}" width="{max(step * 0.85, 0.3):.2f}" '
            f'height="16"><title>window {i + 1}: {escape(verdict)}: {escape(decision.reason)}</title></rect>'
        )
    return "\n".join([*parts, *_legend(base + 30), "</svg>", ""])


def _legend(y: float) -> list[str]:
    parts, x = [], float(_LEFT)
    for verdict in ("stable", "suspected", "drift"):
        parts.append(f'<rect class="{verdict}" x="{x:.1f}" y="{y - 10}" width="12" height="12"/>')
        parts.append(text(x + 18, y, verdict, "soft"))
        x += 110
    return [*parts, text(x, y, "bars: evidence; above the dashed line it is an alarm", "soft")]


def _evidence(found: "Evidence") -> float:
    return -log10(max(found.p_value, 1e-300)) / -log10(found.threshold)

"""The pictures of a dashboard, as plain JSON data of Grafana's schema 39, which newer ones migrate by themselves.

Only the types and the options that our dashboards use; what Grafana assumes anyhow is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
"""What the reader chose at the top."""
NOW: Json = {"instant": True, "range": False}

_LEGEND: Json = {"displayMode": "list", "placement": "bottom", "showLegend": True}
_NEWEST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture. Its description says what is seen and what to do; its runbooks are those of the alerts named."""

    type: str
    title: str
    description: str
    queries: tuple[Query, ...]
    figures: Json
    """How every figure looks: unit, range, colours."""
    options: Json
    asked: Json = field(default_factory=dict)
    """What Grafana asks of each query beside its expression."""
    overrides: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()
    runbooks: tuple[str, ...] = ()

    def as_json(self, number: int, place: Json) -> Json:
        panel: Json = {
            "id": number,
            "type": self.type,
            "title": self.title,
            "description": "\n\n".join(
                [self.description, *(f"Runbook: docs/runbooks.md#{alert.lower()}" for alert in self.runbooks)]
            ),
            "datasource": SOURCE,
            "gridPos": place,
            "targets": [
                {"refId": name, "expr": query.expr, "legendFormat": query.legend, **self.asked}
                for name, query in lettered(self.queries)
            ],
            "fieldConfig": {"defaults": self.figures, "overrides": list(self.overrides)},
            "options": self.options,
        }
        if self.transformations:
            panel["transformations"] = list(self.transformations)
        return panel


def graph(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    least: float | None = 0,
    most: float | None = None,
    stacked: bool = False,
    thresholds: Json | None = None,
    runbooks: tuple[str, ...] = (),
) -> Panel:
    """Figures over time; `thresholds` are drawn as dashed lines."""
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 20 if stacked else 0,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    figures: Json = {"unit": unit, "custom": custom}
    if least is not None:
        figures["min"] = least
    if most is not None:
        figures["max"] = most
    if thresholds is not None:
        figures["thresholds"] = thresholds
        custom["thresholdsStyle"] = {"mode": "dashed"}
    return Panel(
        type="timeseries",
        title=title,
        description=description,
        queries=queries,
        figures=figures,
        options={"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
        runbooks=runbooks,
    )


def stat(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    thresholds: Json | None = None,
    names: Mapping[int, tuple[str, str]] | None = None,
    decimals: int | None = None,
    runbooks: tuple[str, ...] = (),
) -> Panel:
    """Figures of now, in large print. Without `thresholds` of ours Grafana would paint everything above 80 red."""
    figures: Json = {"unit": unit, "thresholds": thresholds or _PLAIN}
    if names is not None:
        figures["mappings"] = named(names)
    if decimals is not None:
        figures["decimals"] = decimals
    return Panel(
        type="stat",
        title=title,
        description=description,
        queries=queries,
        figures=figures,
        asked=NOW,
        options={"colorMode": "value", "graphMode": "none", "textMode": "value_and_name", "reduceOptions": _NEWEST},
        runbooks=runbooks,
    )


def bars(
    title: str, description: str, query: Query, *, unit: str, thresholds: Json, runbooks: tuple[str, ...] = ()
) -> Panel:
    """Figures of now beside each other, to see the largest."""
    return Panel(
        type="bargauge",
        title=title,
        description=description,
        queries=(query,),
        figures={"unit": unit, "min": 0, "thresholds": thresholds},
        asked=NOW,
        options={
            "displayMode": "basic",
            "orientation": "horizontal",
            "showUnfilled": True,
            "reduceOptions": _NEWEST,
        },
        runbooks=runbooks,
    )


def states(
    title: str,
    description: str,
    query: Query,
    *,
    names: Mapping[int, tuple[str, str]],
    runbooks: tuple[str, ...] = (),
) -> Panel:
    """Which state each series was in, over time."""
    return Panel(
        type="state-timeline",
        title=title,
        description=description,
        queries=(query,),
        figures={"unit": "short", "custom": {"fillOpacity": 70, "lineWidth": 0}, "mappings": named(names)},
        options={
            "mergeValues": True,
            "showValue": "auto",
            "legend": {**_LEGEND, "showLegend": False},
            "tooltip": {"mode": "single"},
        },
        runbooks=runbooks,
    )


def heatmap(title: str, description: str, query: Query, *, unit: str, runbooks: tuple[str, ...] = ()) -> Panel:
    """A histogram over time."""
    return Panel(
        type="heatmap",
        title=title,
        description=description,
        queries=(query,),
        figures={"unit": unit},
        asked={"format": "heatmap"},
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
            "yAxis": {"axisPlacement": "left", "unit": unit},
            "tooltip": {"mode": "single", "yHistogram": True},
        },
        runbooks=runbooks,
    )


def named(names: Mapping[int, tuple[str, str]]) -> list[Json]:
    """Words and colours that stand for numbers."""
    options = {
        str(value): {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(names.items())
    }
    return [{"type": "value", "options": options}]


def above(value: float, colour: str = "red") -> Json:
    """Green, and `colour` from `value` on."""
    return _steps(("green", None), (colour, value))


def below(value: float, colour: str = "red", *, orange_below: float | None = None) -> Json:
    """`colour` below `value`; orange from there to `orange_below`, if that is said; green beyond."""
    if orange_below is None:
        return _steps((colour, None), ("green", value))
    return _steps((colour, None), ("orange", value), ("green", orange_below))


def _steps(*steps: tuple[str, float | None]) -> Json:
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in steps]}


_PLAIN = _steps(("text", None))


def lettered(items: Sequence[T]) -> Iterator[tuple[str, T]]:
    """With the letter that Grafana calls the query by."""
    return zip(ascii_uppercase[: len(items)], items, strict=True)

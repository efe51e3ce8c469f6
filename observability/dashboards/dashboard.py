"""A dashboard: rows of panels with their places, the choices at the top, and the ways to the other dashboards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Literal

from observability.dashboards.panels import SOURCE, Json, Panel

PAGE_WIDTH = 24
Models = Literal["none", "one", "some"]
"""How many models the reader chooses at the top; with `none` all of them are shown."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side; `widths` in 24ths of the page, all alike if they are not said."""

    panels: tuple[Panel, ...]
    title: str = ""
    height: int = 8
    widths: tuple[int, ...] = ()

    def places(self, y: int) -> Iterator[Json]:
        widths = self.widths or (PAGE_WIDTH // len(self.panels),) * len(self.panels)
        starts = accumulate(widths, initial=0)
        for x, width in zip(starts, widths, strict=False):
            yield {"h": self.height, "w": width, "x": x, "y": y}


@dataclass(frozen=True, slots=True)
class Dashboard:
    name: str
    question: str
    """What somebody who opens it wants to know."""
    rows: tuple[Row, ...]
    models: Models = "none"

    @property
    def uid(self) -> str:
        return uid_of(self.name)

    def as_json(self, family: Sequence["Dashboard"]) -> Json:
        """family: all dashboards, each of which leads to the others."""
        return {
            "uid": self.uid,
            "title": f"driftgate / {self.name}",
            "description": self.question,
            "tags": ["driftgate"],
            "schemaVersion": 39,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "annotations": {"list": []},
            "links": [self._link(other) for other in family if other.name != self.name],
            "templating": {"list": [_CHOICE_OF_SOURCE, *_choice_of_model(self.models)]},
            "panels": list(self._panels()),
        }

    def _link(self, other: "Dashboard") -> Json:
        """Takes the choice of models along where the other one can show it: a single one cannot show all."""
        keeps_choice = other.models == "some" and self.models != "none"
        return {
            "type": "link",
            "title": other.name,
            "tooltip": other.question,
            "url": f"/d/{other.uid}?${{datasource:queryparam}}" + ("&${model:queryparam}" if keeps_choice else ""),
            "icon": "dashboard",
            "tags": [],
            "asDropdown": False,
            "includeVars": False,
            "keepTime": True,
            "targetBlank": False,
        }

    def _panels(self) -> Iterator[Json]:
        numbers, y = count(1), 0
        for row in self.rows:
            if row.title:
                yield {
                    "id": next(numbers),
                    "type": "row",
                    "title": row.title,
                    "collapsed": False,
                    "gridPos": {"h": 1, "w": PAGE_WIDTH, "x": 0, "y": y},
                    "panels": [],
                }
                y += 1
            for panel, place in zip(row.panels, row.places(y), strict=True):
                yield panel.as_json(next(numbers), place)
            y += row.height


def uid_of(name: str) -> str:
    """The identity of a dashboard, which also names its file; other people's dashboards lie in the same folder."""
    return f"driftgate-{name}"


_CHOICE_OF_SOURCE: Json = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "current": {},
    "hide": 0,
    "refresh": 1,
    "regex": "",
    "multi": False,
    "includeAll": False,
    "options": [],
}


def _choice_of_model(models: Models) -> Iterator[Json]:
    if models == "none":
        return
    question = "label_values(driftgate_rollout_stage, model)"
    choice: Json = {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": question, "refId": "model"},
        "definition": question,
        "current": {},
        "multi": False,
        "includeAll": False,
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "regex": "",
        "options": [],
    }
    if models == "some":
        everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
        choice |= {"current": everything, "multi": True, "includeAll": True, "allValue": ".*"}
    yield choice


def link_to(dashboard: str, title: str) -> Json:
    """From a cell that holds the name of a model to another dashboard about it, over the same time."""
    return {
        "title": title,
        "url": f"/d/{uid_of(dashboard)}?var-model=${{__value.raw}}&${{datasource:queryparam}}&${{__url_time_range}}",
    }

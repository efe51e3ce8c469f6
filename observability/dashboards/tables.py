"""Tables: one line a model, or one a series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from observability.dashboards.panels import NOW, Json, Panel, Query, lettered, named


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of each row of a table."""

    title: str
    expr: str
    unit: str = "short"
    thresholds: Json | None = None
    names: Mapping[int, tuple[str, str]] | None = None
    decimals: int | None = None

    def as_override(self) -> Json:
        properties: list[Json] = [{"id": "unit", "value": self.unit}]
        if self.thresholds is not None:
            properties.append({"id": "thresholds", "value": self.thresholds})
        if self.names is not None:
            properties.append({"id": "mappings", "value": named(self.names)})
        if self.decimals is not None:
            properties.append({"id": "decimals", "value": self.decimals})
        if self.thresholds is not None or self.names is not None:
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
        return _override(self.title, *properties)


def table(title: str, description: str, *columns: Column, row: str, link: Json) -> Panel:
    """A line for each value of the label `row`, whose cell carries `link`."""
    values = {f"Value #{name}": column.title for name, column in lettered(columns)}
    return Panel(
        type="table",
        title=title,
        description=description,
        queries=tuple(Query(column.expr, column.title) for column in columns),
        figures={"unit": "short"},
        asked={**NOW, "format": "table"},
        options={"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": row.capitalize(), "desc": False}]},
        overrides=(
            _override(row.capitalize(), {"id": "links", "value": [link]}),
            *(column.as_override() for column in columns),
        ),
        transformations=({"id": "merge", "options": {}}, _organized([row], values)),
    )


def listing(title: str, description: str, query: Query, *, labels: tuple[str, ...], link: Json) -> Panel:
    """A line for each series, told by its labels; where it has no such label the cell is empty.

    The cell of the label `model` carries `link`.
    """
    return Panel(
        type="table",
        title=title,
        description=description,
        queries=(query,),
        figures={"unit": "short"},
        asked={**NOW, "format": "table"},
        options={"showHeader": True, "cellHeight": "sm"},
        overrides=(_override("Model", {"id": "links", "value": [link]}),),
        transformations=(_organized(labels, {}, hidden=("Value", "Value #A")),),
    )


def _override(column: str, *properties: Json) -> Json:
    return {"matcher": {"id": "byName", "options": column}, "properties": list(properties)}


def _organized(labels: Sequence[str], values: Mapping[str, str], hidden: tuple[str, ...] = ()) -> Json:
    """Columns in this order, called as a person would call them."""
    called = {**{label: label.capitalize() for label in labels}, **values}
    return {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(("Time", *hidden), True),
            "indexByName": {name: index for index, name in enumerate(called)},
            "renameByName": called,
        },
    }

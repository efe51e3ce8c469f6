"""The one way in which commands print: tables for people, exactly one JSON object with `--json`, errors in one line.

Results go to stdout, everything else to stderr. What callers or files wrote is shown without markup and without
control characters, so that a ticket's text cannot repaint the terminal of the person who reads it.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from store.errors import DriftgateError

_JSON = "driftgate.json"
_PIPE_COLUMNS = 10_000
"""Width where there is no terminal: nothing is cut or folded that a script may look for."""


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[_JSON] = value
    return value


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.", callback=_remember)]
"""The option of every command that prints a result."""


def show(result: Mapping[str, Any], *people: RenderableType, as_json: bool) -> None:
    """Print `result` as JSON, or what is meant for `people` instead."""
    if as_json:
        typer.echo(json.dumps(_plain(result), allow_nan=False))
    else:
        console = _console()
        with console.capture() as drawn:
            for part in people:
                console.print(part)
        text = drawn.get()
        if not sys.stdout.isatty():  # a table's cells are filled up with blanks, which nobody needs in a file
            text = "".join(line.rstrip() + "\n" for line in text.splitlines())
        typer.echo(text, nl=False)
    sys.stdout.flush()  # a reader that has gone is noticed here, where it is handled


def say(line: str) -> None:
    """A remark beside the result."""
    typer.echo(printable(line), err=True)


def report_error(ctx: typer.Context, error: DriftgateError) -> None:
    """One line on stderr that says what happened and what to do."""
    detail = " ".join(str(error).split())
    if ctx.meta.get(_JSON, False):
        typer.echo(json.dumps({"error": {"kind": error.kind, "detail": detail}}), err=True)
    else:
        typer.echo(f"error: {printable(detail)}", err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "none") -> RenderableType:
    """Rows under a heading; columns of nothing but numbers are set to the right. `empty` is said without rows."""
    cells = [list(row) for row in rows]
    if not cells:
        return Text(empty)
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for i, column in enumerate(columns):
        numbers = all(isinstance(row[i], int | float | None) for row in cells)
        drawn.add_column(Text(printable(column)), justify="right" if numbers else "left", overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell(value)) for value in row))
    return drawn


def facts(pairs: Mapping[str, object]) -> RenderableType:
    """Names and values, one a line."""
    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in pairs.items():
        drawn.add_row(Text(printable(name)), Text(cell(value)))
    return drawn


def cell(value: object) -> str:
    """A value as people read it."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S} UTC"
        case list() | tuple():
            return ", ".join(cell(item) for item in value) or "-"
        case dict():
            return ", ".join(f"{cell(name)}={cell(item)}" for name, item in value.items()) or "-"
    return printable(str(value))


def printable(text: str) -> str:
    """`text` without characters that a terminal would obey instead of show; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _console() -> Console:
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    return Console(markup=False, highlight=False, emoji=False, width=width)


def _plain(value: Any) -> Any:
    """JSON has no word for NaN and infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

"""`driftgate bench`: how much load one's own model takes on one's own machine."""

from pathlib import Path
from typing import Annotated

import typer

from cli.load.chart import latency_chart
from cli.load.level import measure_levels
from cli.load.picture import latency_picture
from cli.load.target import Target, read_url
from cli.load.texts import TEXTS, read_texts
from cli.output import AsJson, say, show, table
from cli.parts import settings_of
from cli.progress import progress_bar
from cli.svg import write_picture
from store.settings import Settings

_MOST_CLIENTS = 4096


def bench(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="Whose production version to ask; not needed if there is just one.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="A running server; by default http:// with DRIFTGATE_HOST and DRIFTGATE_PORT.")
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="Texts to ask: .txt with one a line, or .csv or .jsonl with a text column.", metavar="FILE"),
    ] = None,
    clients: Annotated[str, typer.Option(help="How many callers at once, one load after the other.")] = (
        "1,2,4,8,16,32,64"
    ),
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="Length of each load.")] = 3.0,
    picture: Annotated[
        Path | None, typer.Option(help="Draw latency against load into this file, as SVG.", metavar="FILE")
    ] = None,
    key: Annotated[str | None, typer.Option(help="API key with the scope predict, if the server wants one.")] = None,
    remote: Annotated[
        bool, typer.Option("--remote", help="Load another machine. Ask first, unless it is yours.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One text a request, from more and more callers at once, each of which asks again as soon as it is answered.

    The load takes some of the cores that the server could have.

    Predictions made here are recorded like any others, with the tag source=driftgate-bench: load a copy rather than
    the store in which drift is watched.
    """
    counts = _counts(clients)
    target = Target(read_url(url or _own_url(settings_of(ctx)), remote=remote), key)
    asked = read_texts(texts) if texts else TEXTS
    name = model or target.only_model()
    target.try_once(name, asked[0])
    requests = target.requests(name, asked)
    with progress_bar() as progress:
        levels = list(measure_levels(target.address, requests, counts, seconds=seconds, progress=progress))
    if picture:
        write_picture(picture, latency_picture(levels, title=f"{name} at {target.address}"))
        say(f"drawn: {picture}")
    columns = ("clients", "requests/s", "p50 ms", "p95 ms", "p99 ms", "errors")
    rows = [
        (level.clients, level.requests_per_s, level.p50_s * 1000, level.p95_s * 1000, level.p99_s * 1000, level.errors)
        for level in levels
    ]
    result = {
        "model": name,
        "url": f"http://{target.address}",
        "seconds": seconds,
        "levels": [level.as_dict() for level in levels],
    }
    chart = () if picture else (latency_chart(levels),)
    show(result, table(columns, rows), *chart, as_json=as_json)
    if any(level.errors for level in levels):
        raise typer.Exit(1)


def _counts(clients: str) -> list[int]:
    counts = [int(part) if part.strip().isdecimal() else 0 for part in clients.split(",")]
    if not all(0 < count <= _MOST_CLIENTS for count in counts):
        problem = f"{clients!r}: give numbers from 1 to {_MOST_CLIENTS}, such as 1,8,64"
        raise typer.BadParameter(problem, param_hint="--clients")
    return counts


def _own_url(settings: Settings) -> str:
    """Of the server that the settings describe; one that is bound to all addresses is asked by loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # nothing is bound here
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"

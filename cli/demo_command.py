"""`driftgate demo`: the whole loop on one machine, in a few minutes."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from cli.extras import require_extra
from cli.output import AsJson, say, show
from cli.parts import home_of
from store.errors import Refused

_MARK = "tickets.csv"


def demo(
    ctx: typer.Context,
    port: Annotated[int | None, typer.Option(help="HTTP port; 8080 or a free one by default.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """It trains a model on made-up tickets, serves it, lets the world change, and watches what happens.

    Everything lies in a folder of its own: `.driftgate-demo`, or what --home names. An earlier demo is replaced.
    """
    for extra in ("monitor", "retrain", "demo"):
        require_extra(extra)
    from cli.demo.story import run_demo

    home = (home_of(ctx) or Path(".driftgate-demo")).resolve()
    if home.exists():
        if any(home.iterdir()) and not (home / _MARK).exists():
            raise Refused(f"{home} holds something that is no demo; name an empty folder with --home")
        shutil.rmtree(home)
    result = run_demo(home, port=port, keep=keep, say=say)
    show(result, as_json=as_json)

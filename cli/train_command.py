"""`driftgate train`: a new version from a data file, trained, judged by the gate, and promoted if that was asked."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.data_commands import GroupColumn, LabelColumn, LabelList, SplitColumn, TextColumn, TimeColumn
from cli.extras import require_extra
from cli.output import AsJson, facts, show
from cli.parts import open_parts
from cli.progress import progress_bar
from cli.quiet import quiet_libraries
from store.bases import get_base
from store.errors import BadInput, Refused
from store.versions import get_deployment


def train(
    ctx: typer.Context,
    base: Annotated[str, typer.Option(help="The base to train on.")],
    model: Annotated[str, typer.Option(help="The model that gets the new version; made if it is new.")],
    data: Annotated[Path, typer.Option(help="CSV, JSONL (both also with .gz) or Parquet.", metavar="FILE")],
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    group_column: GroupColumn = None,
    time_column: TimeColumn = None,
    split_column: SplitColumn = None,
    labels: LabelList = None,
    strategy: Annotated[
        Literal["auto", "head", "lora", "partial", "full"], typer.Option(help="What is trained.")
    ] = "auto",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Most epochs; the default is DRIFTGATE_TRAIN_EPOCHS, else what the recipe says."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and data give the same split.")] = 0,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A parameter of the training, as NAME=VALUE; may be said again.", metavar="NAME=VALUE"
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Put it into production if the gate lets it pass.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The run is recorded: should this process die, `driftgate worker` carries it on.

    The exit code is 1 when --promote was asked for and the gate refused.
    """
    require_extra("retrain")
    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            get_base(session, base)  # a wrong name is told before torch is loaded
        with progress_bar() as progress:
            from retrain.worker import calm_threads, train_now

            calm_threads()
            quiet_libraries()
            result = train_now(
                parts.settings,
                parts.database,
                parts.artifacts,
                base=base,
                model=model,
                data=data,
                text_column=text_column,
                label_column=label_column,
                group_column=group_column,
                time_column=time_column,
                split_column=split_column,
                allowed_labels=labels,
                strategy=strategy,
                epochs=epochs,
                seed=seed,
                parameters=_parameters(parameters or []),
                promote=promote,
                progress=progress,
            )
        show(result, facts({"run": result["run"], "model": result["model"], **result}), as_json=as_json)
        if promote:
            with parts.database.read() as session:
                production = get_deployment(session, model).production
            if production != result["version"]:
                why = result.get("reason", "the gate refused")
                raise Refused(f"version {result['version']} of {model!r} was not promoted: {why}")


def _parameters(said: list[str]) -> dict[str, Any]:
    """Values are read as JSON where they are JSON: 8, 0.1, true, ["query"]; else as words."""
    found: dict[str, Any] = {}
    for part in said:
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise BadInput(f"--set {part!r} is not NAME=VALUE, for example: --set rank=4", where="set")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found

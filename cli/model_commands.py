"""`driftgate model`: which version answers, how it came to that, and the levers."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from cli.data_commands import LabelColumn, TextColumn
from cli.group import command_group
from cli.output import AsJson, cell, facts, printable, show, table
from cli.parts import open_parts, person
from cli.precision_check import read_check_rows, run_check, tell_checks
from cli.snapshot_texts import known_groups
from cli.version_commands import card, report
from engine.precision import (
    PrecisionCheck,
    checks_from_json,
    checks_to_json,
    choose_precision,
    judge,
    speeds_from_json,
)
from store.bases import get_base
from store.events import history
from store.records import Base, Deployment, Event, Version
from store.settings import PrecisionAsked
from store.versions import (
    archive_version,
    get_adapter,
    get_deployment,
    get_version,
    keep_precision_checks,
    list_models,
    list_versions,
)
from store.versions import promote as promote_version
from store.versions import rollback as roll_back
from store.views import deployment_view, event_view, model_view, version_view

app = command_group()
app.command("report", epilog="Example: driftgate model report tickets 2 --value-per-correct 0.4")(report)
app.command("card", epilog="Example: driftgate model card tickets 2 --out card.html")(card)

ModelName = Annotated[str, typer.Argument(help="The model.", metavar="MODEL")]
VersionNumber = Annotated[int, typer.Argument(help="The number of the version.", metavar="VERSION", min=1)]
Reason = Annotated[str | None, typer.Option(help="Why; it goes into the story.")]


@app.command("list", epilog="Example: driftgate model list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All models, and what each answers with."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        rows = list_models(session)
        show(
            {"models": [deployment_view(row) for row in rows]},
            table(
                ("model", "production", "candidate", "stage", "traffic share", "previous", "since"),
                [
                    (r.model, r.production, r.candidate, r.stage, r.traffic_share, r.previous, r.updated_at)
                    for r in rows
                ],
                empty="no model yet; make one with: driftgate train, or driftgate adapter import",
            ),
            as_json=as_json,
        )


@app.command("show", epilog="Example: driftgate model show tickets --json")
def show_(ctx: typer.Context, model: ModelName, as_json: AsJson = False) -> None:
    """One model with all its versions."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        view = model_view(session, model)
        since = get_deployment(session, model).updated_at
        drawn = facts(
            {
                "model": model,
                "production": view["production"],
                "candidate": view["candidate"],
                "stage": view["stage"],
                "previous": view["previous"],
                "since": since,
            }
        )
        show(view, drawn, _versions(view), as_json=as_json)


@app.command("history", epilog="Example: driftgate model history tickets --limit 20")
def history_(
    ctx: typer.Context,
    model: ModelName,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many lines.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """The story of a model: what happened, when, who did it and why."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        events = history(session, model, limit=limit)
        if not events:  # a run may tell of a model before it has a version; else the name must be known
            get_deployment(session, model)
        show(
            {"model": model, "events": [event_view(event) for event in events]},
            *(map(_line, events) if events else ["nothing has happened yet"]),
            as_json=as_json,
        )


@app.command("promote", epilog="Example: driftgate model promote tickets 3 --reason 'better on refunds'")
def promote(
    ctx: typer.Context, model: ModelName, version: VersionNumber, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Put a version into production; servers follow within a second, without dropping a request."""
    with open_parts(ctx) as parts:
        why = reason or f"version {version} promoted by hand"
        with parts.database.write() as session:
            row = promote_version(session, model, version, by=person(), reason=why, now=parts.clock())
        _show_deployment(row, as_json=as_json)


@app.command("rollback", epilog="Example: driftgate model rollback tickets --reason 'complaints since noon'")
def rollback(ctx: typer.Context, model: ModelName, reason: Reason = None, as_json: AsJson = False) -> None:
    """Return to the version that was in production before."""
    with open_parts(ctx) as parts:
        why = reason or "rolled back by hand"
        with parts.database.write() as session:
            row = roll_back(session, model, by=person(), reason=why, now=parts.clock())
        _show_deployment(row, as_json=as_json)


@app.command("archive", epilog="Example: driftgate model archive tickets 1")
def archive(ctx: typer.Context, model: ModelName, version: VersionNumber, as_json: AsJson = False) -> None:
    """Take a version out of service for good; its records stay."""
    with open_parts(ctx) as parts:
        with parts.database.write() as session:
            archive_version(session, model, version, by=person(), now=parts.clock())
            view = version_view(session, get_version(session, model, version))
        show(view, f"version {version} of {printable(model)!r} is archived", as_json=as_json)


@app.command("precision", epilog="Example: driftgate model precision tickets --data held-out.csv")
def precision(
    ctx: typer.Context,
    model: ModelName,
    version: Annotated[
        int | None,
        typer.Argument(help="The number of the version; production, or the newest.", metavar="VERSION", min=1),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Check it on these labelled rows now, and keep what was found.", metavar="FILE")
    ] = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    max_loss: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Accuracy that it may cost; the default is DRIFTGATE_PRECISION_MAX_LOSS, as for servers."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """In which precision a version may be served, and why: fp32, or a faster one that passed a check on its data."""
    with open_parts(ctx) as parts:
        allowed = parts.settings.precision_max_loss if max_loss is None else max_loss
        rows = None if data is None else read_check_rows(data, text_column=text_column, label_column=label_column)
        with parts.database.read() as session:
            number = version or get_deployment(session, model).production or list_versions(session, model)[-1].number
            found = get_version(session, model, number)
            adapter = get_adapter(session, found)
            base = get_base(session, adapter.base)
        if rows is not None:
            folder = parts.artifacts.fetch(adapter.artifact)
            trained = known_groups(parts, found, split="train")
            checks = run_check(parts, base.artifact, folder, rows, labels=adapter.labels, trained=trained)
            with parts.database.write() as session:
                keep_precision_checks(
                    session,
                    model,
                    number,
                    checks_to_json(checks),
                    reason=tell_checks(checks, allowed) or "nothing but fp32 runs here",
                    by=person(),
                    now=parts.clock(),
                )
            with parts.database.read() as session:
                found = get_version(session, model, number)
        view = _precision_view(found, base, asked=parts.settings.precision, max_loss=allowed)
        show(view, *_drawn_precisions(view), as_json=as_json)


def _precision_view(version: Version, base: Base, *, asked: PrecisionAsked, max_loss: float) -> dict[str, Any]:
    speeds, checks = speeds_from_json(base.speeds), checks_from_json(version.evaluation.get("precision", {}))
    choice = choose_precision(asked, speeds=speeds, checks=checks, max_loss=max_loss)
    verdicts: dict[str, dict[str, Any]] = {}
    for name in sorted((speeds.keys() | checks.keys()) - {"fp32"}):
        check = checks.get(name, PrecisionCheck(name, 0, 0, 0))
        verdict = judge(check, max_loss)
        verdicts[name] = {
            "rows": check.rows,
            "lost": check.lost,
            "gained": check.gained,
            "bound": verdict.bound,
            "allowed": verdict.allowed,
            "why": verdict.why if check.rows else f"{name} has not been checked on this version's own data",
            "speedup": speeds[name] / speeds["fp32"] if name in speeds and "fp32" in speeds else None,
        }
    return {
        "model": version.model,
        "version": version.number,
        "max_loss": max_loss,
        "precisions": verdicts,
        "served": {"precision": choice.precision, "why": choice.why},
    }


def _drawn_precisions(view: dict[str, Any]) -> list[RenderableType]:
    columns = ("precision", "times fp32", "rows", "lost", "gained", "loses at most", "may serve")
    return [
        table(
            columns,
            [
                (name, v["speedup"], v["rows"], v["lost"], v["gained"], v["bound"] if v["rows"] else None, v["allowed"])
                for name, v in view["precisions"].items()
            ],
            empty="this base was imported with fp32 only; import it again under another name to get int8",
        ),
        f"served in {view['served']['precision']}: {view['served']['why']}",
    ]


def _show_deployment(row: Deployment, *, as_json: bool) -> None:
    before = "" if row.previous is None else f"; `driftgate model rollback {row.model}` returns to {row.previous}"
    show(deployment_view(row), f"version {row.production} of {row.model!r} is in production{before}", as_json=as_json)


def _versions(view: dict[str, Any]) -> RenderableType:
    marks = {view["production"]: "production", view["candidate"]: "candidate", None: ""}
    return table(
        ("version", "state", "deployed", "labels", "rank", "accuracy", "macro F1", "run", "created"),
        [
            (
                v["version"],
                v["state"],
                marks.get(v["version"]),
                len(v["labels"]),
                v["rank"],
                v["evaluation"].get("accuracy"),
                v["evaluation"].get("macro_f1"),
                v["run"],
                datetime.fromisoformat(v["created_at"]),
            )
            for v in view["versions"]
        ],
        empty="no version yet",
    )


def _line(event: Event) -> Text:
    what = event.kind.replace("_", " ")
    line = Text(f"{cell(event.at)}  ")
    line.append(printable(what), style="bold")
    if event.version is not None:
        line.append(f", version {event.version}")
    line.append(f", by {printable(event.by)}\n    {printable(event.message)}")
    if event.links:
        line.append("\n    " + ", ".join(f"{name} {cell(value)}" for name, value in event.links.items()), style="dim")
    return line

"""`driftgate feedback`: labels in, labelled rows out."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from sqlalchemy.orm import Session

from cli.feedback_file import FIELDS, RawRow, check_rows, read_raw_rows, truth
from cli.group import command_group
from cli.model_commands import ModelName
from cli.output import AsJson, say, show
from cli.parts import open_parts, person
from store.errors import BadInput, NotFound
from store.feedback import LabelledRow, NewFeedback, add_feedback, count_feedback, labelled_rows
from store.predictions import get_prediction
from store.versions import get_deployment, get_version

app = command_group()


@app.command("import", epilog="Example: driftgate feedback import corrected.csv --by ann")
def import_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            help="JSONL or CSV with prediction_id, and label or correct; also input, comment, by.", metavar="FILE"
        ),
    ],
    by: Annotated[str | None, typer.Option(help="Who says so, where a row does not; the default is you.")] = None,
    as_json: AsJson = False,
) -> None:
    """Store verdicts on predictions: all rows of the file, or none. Importing it again adds nothing."""
    rows = read_raw_rows(file)
    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            verdicts = check_rows(file, rows, _checker(session, by or person()))
        added = 0
        with parts.database.write() as session:
            for verdict in _news(session, verdicts):
                _, is_new = add_feedback(session, verdict, now=parts.clock())
                added += is_new
        known = len(verdicts) - added
        show(
            {"file": str(file), "rows": len(verdicts), "added": added, "known": known},
            f"{added} verdicts added, {known} were known already",
            as_json=as_json,
        )


@app.command("export", epilog="Example: driftgate feedback export tickets --format csv > labelled.csv")
def export(
    ctx: typer.Context,
    model: ModelName,
    format_name: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="How rows are written.")] = "jsonl",
) -> None:
    """Write the labelled rows of a model to stdout: text, label, what was predicted, how the row was chosen.

    The newest verdict on a prediction counts. The file can be audited, trained on, or corrected and imported again.
    """
    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            get_deployment(session, model)
            rows = [_exported(model, row) for row in labelled_rows(session, model)]
            verdicts = count_feedback(session, model)
        typer.echo((_as_csv if format_name == "csv" else _as_jsonl)(rows).encode(), nl=False)
        say(f"{len(rows)} labelled rows from {verdicts} verdicts")


def _checker(session: Session, by: str) -> Callable[[RawRow], NewFeedback]:
    """Turns a row into a verdict under the rules of POST /v1/feedback, or raises BadInput."""
    from server.answering import parse_prediction_id
    from server.bodies import parse_body
    from server.feedback import FeedbackBody

    def check(row: RawRow) -> NewFeedback:
        said = {name: value for name, value in row.items() if name in FIELDS} | {"by": row.get("by", by)}
        if "correct" in said:
            said["correct"] = truth(said["correct"])
        body = parse_body(FeedbackBody, json.dumps(said).encode())
        if body.label is None and body.correct is None:
            raise BadInput("it says neither a label nor whether the answer was correct")
        if any("\x00" in (value or "") for value in (body.label, body.input, body.comment)):
            raise BadInput("it holds a NUL character; remove it")
        model, version = parse_prediction_id(body.prediction_id)
        _require_version(session, model, version)
        text = body.input
        if get_prediction(session, body.prediction_id) is None:
            text = text or row.get("text")
            if not isinstance(text, str):
                raise BadInput(f"prediction {body.prediction_id} was not recorded; give its text as 'input'")
        return NewFeedback(
            prediction_id=body.prediction_id,
            model=model,
            version=version,
            label=body.label,
            correct=body.correct,
            input=text,
            comment=body.comment,
            by=body.by,
            origin=body.origin,
        )

    return check


def _news(session: Session, verdicts: list[NewFeedback]) -> list[NewFeedback]:
    """Those that say something else than what counts already: an export that comes back unchanged adds nothing."""
    told = {
        row.prediction_id: row.label for model in {v.model for v in verdicts} for row in labelled_rows(session, model)
    }
    return [v for v in verdicts if v.label is None or told.get(v.prediction_id) != v.label]


def _require_version(session: Session, model: str, version: int) -> None:
    """An unknown model or version is a flaw of the row that names it."""
    try:
        get_version(session, model, version)
    except NotFound as error:
        raise BadInput(str(error)) from None


def _exported(model: str, row: LabelledRow) -> dict[str, Any]:
    return {
        "prediction_id": row.prediction_id,
        "text": row.text,
        "label": row.label,
        "predicted": row.predicted,
        "model": model,
        "version": row.version,
        "origin": row.origin,
        "inclusion": row.inclusion,
        "at": row.at.isoformat(),
    }


def _as_jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _as_csv(rows: list[dict[str, Any]]) -> str:
    written = io.StringIO(newline="")
    columns = ("prediction_id", "text", "label", "predicted", "model", "version", "origin", "inclusion", "at")
    writer = csv.DictWriter(written, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()

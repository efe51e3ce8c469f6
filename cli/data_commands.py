"""`driftgate data`: what is wrong with a data file, before anything is trained on it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.extras import require_extra
from cli.group import command_group
from cli.output import AsJson, facts, show, table

app = command_group()

DataFile = Annotated[Path, typer.Argument(help="CSV, JSONL (both also with .gz) or Parquet.", metavar="FILE")]
TextColumn = Annotated[str, typer.Option(help="The column that holds the text.")]
LabelColumn = Annotated[str, typer.Option(help="The column that holds the label.")]


@app.command("audit", epilog="Example: driftgate data audit tickets.csv --text-column body --label-column queue")
def audit(
    file: DataFile, text_column: TextColumn = "text", label_column: LabelColumn = "label", as_json: AsJson = False
) -> None:
    """Look through labelled rows: missing labels, small classes, doubles, contradictions.

    The exit code is 1 when nothing can be trained on the file as it is.
    """
    from retrain.audit import audit_rows
    from retrain.dataset import read_rows

    if file.suffix.lower() == ".parquet":
        require_extra("retrain")
    found = audit_rows(read_rows(file, text_column=text_column, label_column=label_column))
    findings = [(f.severity, f.kind, f.count, f.message, _shown_rows(f.rows, f.count)) for f in found.findings]
    show(
        {"file": str(file), **found.as_dict()},
        facts({"file": str(file), "rows": found.rows, "labels": dict(found.labels), "usable": found.usable}),
        table(("severity", "finding", "rows", "what", "where"), findings, empty="nothing to report"),
        as_json=as_json,
    )
    if not found.usable:
        raise typer.Exit(1)


def _shown_rows(rows: tuple[int, ...], count: int) -> str:
    first = rows[:5]
    return ", ".join(map(str, first)) + (", ..." if count > len(first) else "")

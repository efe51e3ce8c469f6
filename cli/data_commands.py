"""`driftgate data`: what is wrong with training data, which snapshots there are, and what changed between two."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from sqlalchemy.orm import Session

from cli.extras import require_extra
from cli.group import command_group
from cli.output import AsJson, facts, say, show, table
from cli.parts import Parts, open_parts
from cli.progress import progress_bar
from store.bases import get_base
from store.errors import Refused
from store.events import history
from store.records import Snapshot
from store.snapshots import find_snapshot, list_snapshots
from store.versions import get_deployment, get_version

if TYPE_CHECKING:  # what needs numpy is imported by the command that needs it
    from retrain.audit import Audit, BaseView
    from retrain.dataset import Row

app = command_group()

DataFile = Annotated[Path, typer.Argument(help="CSV, JSONL (both also with .gz) or Parquet.", metavar="FILE")]
TextColumn = Annotated[str, typer.Option(help="The column that holds the text.")]
LabelColumn = Annotated[str, typer.Option(help="The column that holds the label.")]
GroupColumn = Annotated[
    str | None, typer.Option(help="The column that says whom a row belongs to: a customer, a thread, a document.")
]
TimeColumn = Annotated[str | None, typer.Option(help="The column that says when a text came in, in ISO 8601.")]
SplitColumn = Annotated[str | None, typer.Option(help="The column that holds your own split: train, validation, test.")]
LabelList = Annotated[
    Path | None, typer.Option("--labels", help="A file with all labels that rows may have, one a line.", metavar="FILE")
]

_SHORT_ID = 12
_SHOWN_CHANGES = 10
_SHOWN_LETTERS = 60


@app.command("audit", epilog="Example: driftgate data audit tickets.csv --text-column body --label-column queue")
def audit(
    ctx: typer.Context,
    file: DataFile,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    group_column: GroupColumn = None,
    time_column: TimeColumn = None,
    split_column: SplitColumn = None,
    labels: LabelList = None,
    base: Annotated[
        str | None, typer.Option(help="Look with this base too: label errors, outliers, texts that are too long.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="With --base: which rows are far from those that its production version was validated on."),
    ] = None,
    suspects: Annotated[
        Path | None, typer.Option(help="Write all rows there, the least trustworthy label first.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look through labelled rows: missing and wrong labels, copies, contradictions, leakage.

    The exit code is 1 when nothing can be trained on the file as it is.
    """
    from retrain.audit import audit_rows
    from retrain.dataset import read_labels, read_rows

    if suspects is not None and base is None:
        raise typer.BadParameter("needs --base: without one no label is judged", param_hint="--suspects")
    if model is not None and base is None:
        raise typer.BadParameter("needs --base: without one no distance is measured", param_hint="--model")
    if base is not None or file.suffix.lower() == ".parquet":
        require_extra("retrain")
    rows = read_rows(
        file,
        text_column=text_column,
        label_column=label_column,
        group_column=group_column,
        time_column=time_column,
        split_column=split_column,
    )
    allowed = None if labels is None else read_labels(labels)
    with progress_bar() as progress:
        found = audit_rows(
            rows,
            view=None if base is None else _view(ctx, base, rows, progress, model=model),
            allowed_labels=allowed,
            own_split=split_column is not None,
            progress=progress,
        )
    if suspects is not None:
        _write_suspects(suspects, rows, found)
        say(f"{len(found.suspects)} rows written to {suspects}, the least trustworthy label first")
    show(
        {"file": str(file), **found.as_dict()},
        facts({"file": str(file), "rows": found.rows, "labels": dict(found.labels), "usable": found.usable}),
        *_drawn_findings(found.as_dict()),
        as_json=as_json,
    )
    if not found.usable:
        raise typer.Exit(1)


@app.command("list", epilog="Example: driftgate data list tickets")
def list_(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Only snapshots of this model.", metavar="MODEL")] = None,
    as_json: AsJson = False,
) -> None:
    """All snapshots, the oldest first."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        snapshots = list_snapshots(session, model)
        if model is not None and not snapshots and not history(session, model, limit=1):
            get_deployment(session, model)  # an unknown name is told as such
        show(
            {"snapshots": [_view_of(snapshot) for snapshot in snapshots]},
            table(
                ("snapshot", "model", "rows", "classes", "follows on", "made"),
                [
                    (s.id[:_SHORT_ID], s.model, s.rows, len(s.labels), (s.parent or "")[:_SHORT_ID], s.created_at)
                    for s in snapshots
                ],
                empty="no snapshot yet; every training leaves one: driftgate train",
            ),
            as_json=as_json,
        )


@app.command("show", epilog="Example: driftgate data show 3f2a9c01")
def show_(
    ctx: typer.Context,
    snapshot: Annotated[str, typer.Argument(help="Its id, or the beginning of it.", metavar="SNAPSHOT")],
    as_json: AsJson = False,
) -> None:
    """One snapshot: its classes, its splits, and what its audit found."""
    from retrain.snapshot import load_snapshot

    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            record = find_snapshot(session, snapshot)
            view, audited = _view_of(record), dict(record.audit)
        rows = load_snapshot(parts.database, parts.artifacts, record.id)
        splits = dict(sorted(Counter(str(row.split) for row in rows).items()))
        origins = dict(sorted(Counter(row.origin for row in rows).items()))
        show(
            {**view, "splits": splits, "origins": origins, "audit": audited},
            facts({**view, "splits": splits, "origins": origins}),
            *_drawn_findings(audited),
            as_json=as_json,
        )


@app.command("diff", epilog="Example: driftgate data diff 3f2a9c01 tickets.csv")
def diff(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(help="A snapshot (its id or the beginning of it) or a file.", metavar="A")],
    after: Annotated[str, typer.Argument(help="Another.", metavar="B")],
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = None,
    as_json: AsJson = False,
) -> None:
    """What changed between two states of training data: rows added, removed, relabelled or moved between splits."""
    from retrain.dataset import read_rows
    from retrain.snapshot import load_snapshot
    from retrain.snapshot_diff import diff_rows

    def rows_of(parts: Parts, name: str) -> "list[Row]":
        if Path(name).suffix:  # ids have none
            return read_rows(Path(name), text_column=text_column, label_column=label_column, split_column=split_column)
        with parts.database.read() as session:
            record = find_snapshot(session, name)
        return load_snapshot(parts.database, parts.artifacts, record.id)

    with open_parts(ctx) as parts:
        found = diff_rows(rows_of(parts, before), rows_of(parts, after))
    changes = [
        *(("added", row.text[:_SHOWN_LETTERS], row.label, row.split) for row in found.added[:_SHOWN_CHANGES]),
        *(("removed", row.text[:_SHOWN_LETTERS], row.label, row.split) for row in found.removed[:_SHOWN_CHANGES]),
        *(
            ("relabelled", c.after.text[:_SHOWN_LETTERS], f"{c.before.label} -> {c.after.label}", c.after.split)
            for c in found.relabelled[:_SHOWN_CHANGES]
        ),
        *(
            ("moved", c.after.text[:_SHOWN_LETTERS], c.after.label, f"{c.before.split} -> {c.after.split}")
            for c in found.moved[:_SHOWN_CHANGES]
        ),
    ]
    shifted = [
        (label, f"{was:.1%}", f"{now:.1%}")
        for label, (was, now) in list(found.shares.items())[:_SHOWN_CHANGES]
        if was != now
    ]
    show(
        {"before": before, "after": after, **found.as_dict()},
        facts(
            {
                "rows": f"{found.rows[0]} -> {found.rows[1]}",
                "added": len(found.added),
                "removed": len(found.removed),
                "relabelled": len(found.relabelled),
                "moved between splits": len(found.moved),
                "labels added": found.labels_added,
                "labels gone": found.labels_gone,
            }
        ),
        table(("change", "text", "label", "split"), changes, empty="the same rows, labels and splits"),
        table(("label", "share before", "after"), shifted, empty="the same share of each class"),
        as_json=as_json,
    )


def _view(
    ctx: typer.Context,
    base: str,
    rows: "Sequence[Row]",
    progress: Callable[[str, float], None],
    *,
    model: str | None,
) -> "BaseView":
    """What the base makes of the rows; its features are kept for the training that may follow."""
    from retrain.audit import look_with
    from retrain.snapshot import load_snapshot

    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            artifact = get_base(session, base).artifact
            snapshot = None if model is None else _production_snapshot(session, model)
        before = [] if snapshot is None else load_snapshot(parts.database, parts.artifacts, snapshot)
        look = look_with(
            parts.artifacts.fetch(artifact),
            parts.settings.home / "cache" / "features",
            provider=parts.settings.provider,
            progress=lambda share: progress(f"reading the texts with {base!r}", share),
        )
        return look(rows, known=[row.text for row in before if row.split == "validation"])


def _production_snapshot(session: Session, model: str) -> str:
    production = get_deployment(session, model).production
    snapshot = None if production is None else get_version(session, model, production).snapshot
    if snapshot is None:
        raise Refused(f"model {model!r} has no production version with a snapshot to compare with; leave --model out")
    return snapshot


def _write_suspects(path: Path, rows: "Sequence[Row]", found: "Audit") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "text", "label", "likely", "confidence"))
        for each in found.suspects:
            writer.writerow((each.row, rows[each.row - 1].text, each.label, each.likely, f"{each.confidence:.6f}"))


def _view_of(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "snapshot": snapshot.id,
        "model": snapshot.model,
        "parent": snapshot.parent,
        "rows": snapshot.rows,
        "labels": dict(snapshot.labels),
        "feedback_until": snapshot.feedback_until,
        "created_at": snapshot.created_at.isoformat(),
    }


def _drawn_findings(audited: Mapping[str, Any]) -> list[RenderableType]:
    """audited: what `Audit.as_dict` gives, also of a snapshot that an older driftgate wrote."""
    rows = [
        (f["severity"], f["kind"], f["count"], f["message"], _shown_rows(f["rows"], f["count"]))
        for f in audited["findings"]
    ]
    drawn = table(("severity", "finding", "rows", "what", "where"), rows, empty="nothing to report")
    return [drawn, *(f"not looked at: {what}" for what in audited.get("skipped", []))]


def _shown_rows(rows: Sequence[int], count: int) -> str:
    first = rows[:5]
    return ", ".join(map(str, first)) + (", ..." if count > len(first) else "")

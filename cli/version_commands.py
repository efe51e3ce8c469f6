"""`driftgate model report` and `driftgate model card`: how good a version is, for a terminal and as one file."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from sqlalchemy.orm import Session

from cli.output import AsJson, facts, printable, show, table
from cli.parts import Parts, open_parts
from store.errors import BadInput, Refused
from store.records import Version
from store.report import load_report
from store.runs import get_run
from store.snapshots import get_snapshot
from store.versions import get_version
from store.worth import Prices, Span, Worth, weigh

_Model = Annotated[str, typer.Argument(help="The model.", metavar="MODEL")]
_Number = Annotated[int, typer.Argument(help="The number of the version.", metavar="VERSION", min=1)]


def report(
    ctx: typer.Context,
    model: _Model,
    version: _Number,
    value_per_correct: Annotated[
        float | None, typer.Option(help="What one right answer more is worth, in your currency.", min=0)
    ] = None,
    predictions_per_day: Annotated[float | None, typer.Option(help="Answers a day.", min=0)] = None,
    cost_of_label: Annotated[float, typer.Option(help="What one label costs.", min=0)] = 0.0,
    cost_of_hour: Annotated[float, typer.Option(help="What an hour of training costs.", min=0)] = 0.0,
    as_json: AsJson = False,
) -> None:
    """How good a version is: against production and baselines, part by part, and what that is worth.

    It is compared with production, or with the majority answer where there was none.
    """
    if value_per_correct is None and (predictions_per_day is not None or cost_of_label or cost_of_hour):
        raise typer.BadParameter("--value-per-correct is needed to say what a version is worth")
    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            row = get_version(session, model, version)
            labels, training_s = _spent(session, row)
        found = _load(parts, row)
        worth, rival = None, _rival(found)
        if value_per_correct is not None:
            prices = Prices(value_per_correct, predictions_per_day, cost_of_label, cost_of_hour)
            difference = rival["difference"]
            span = Span(difference["value"], difference["low"], difference["high"])
            worth = weigh(span, prices, labels=labels, training_s=training_s)
        show(
            {"model": model, "version": version, **found}
            | ({} if worth is None else {"worth": {"against": rival["name"], "labels": labels, **asdict(worth)}}),
            _systems(found),
            _facts(found),
            *([] if worth is None else [_worth(worth, rival["name"], labels)]),
            as_json=as_json,
        )


def card(
    ctx: typer.Context,
    model: _Model,
    version: _Number,
    out: Annotated[Path, typer.Option(help="The HTML file to write.", metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """The model card as one HTML file without scripts, to be handed on: what `/models/MODEL/VERSION` shows now."""
    from server.console.standalone import card_in_one_file

    with open_parts(ctx) as parts:
        html = card_in_one_file(parts.database, parts.artifacts, model, version)
    try:
        out.write_text(html, "utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {out}: {error.strerror}", where="out") from None
    show(
        {"model": model, "version": version, "file": str(out), "bytes": len(html.encode())},
        f"card of version {version} of {printable(model)!r} written to {printable(str(out))}",
        as_json=as_json,
    )


def _load(parts: Parts, row: Version) -> dict[str, Any]:
    key = row.evaluation.get("report")
    if key is None:
        raise Refused(
            f"version {row.number} of {row.model!r} has no report: it was imported, or made by a release that kept "
            "none; a version that `driftgate train` makes has one"
        )
    return load_report(parts.artifacts.fetch(key))


def _spent(session: Session, row: Version) -> tuple[int, float]:
    """Labels that came since the snapshot before, and seconds from start to end of the run."""
    labels, training_s = 0, 0.0
    if row.snapshot is not None:
        snapshot = get_snapshot(session, row.snapshot)
        before = 0 if snapshot.parent is None else get_snapshot(session, snapshot.parent).rows
        labels = max(snapshot.rows - before, 0)
    if row.run is not None:
        run = get_run(session, row.run)
        if run.started_at is not None and run.ended_at is not None:
            training_s = (run.ended_at - run.started_at).total_seconds()
    return labels, training_s


def _rival(found: Mapping[str, Any]) -> Mapping[str, Any]:
    by_name: dict[str, Mapping[str, Any]] = {system["name"]: system for system in found["systems"]}
    return by_name.get("production") or by_name["majority"]


def _systems(found: Mapping[str, Any]) -> RenderableType:
    rows = []
    for system in found["systems"]:
        accuracy, difference = system["accuracy"], system["difference"]
        rows.append(
            (
                system["name"],
                accuracy["value"],
                _between(accuracy),
                system["macro_f1"]["value"],
                system["roc_auc"],
                None if difference is None else f"{difference['value']:+.3f} ({_between(difference, '+')})",
                None if difference is None else f"{difference['won']}, {difference['lost']}",
                None if difference is None else difference["p_value"],
            )
        )
    columns = ("answers", "accuracy", "95 %", "macro F1", "ROC-AUC", "the version has more", "won, lost", "p-value")
    return table(columns, rows)


def _facts(found: Mapping[str, Any]) -> RenderableType:
    calibration, slices, served = found["calibration"], found["slices"], found["served"]
    error = calibration["before"]
    worse: object = [f"{one['kind']} {one['name']}" for one in slices["found"] if one["worse"]]
    if not worse:
        worse = f"in none of {len(slices['found'])} parts that were looked at"
    if found["systems"][1]["name"] != "production":
        worse = "there was no production version"
    single = (f"{1000 * served[name]:.1f} ms" for name in ("single_p50_s", "single_p95_s"))
    changes = found["robustness"]["changes"]
    return facts(
        {
            "test rows": found["rows"]["test"],
            "weakest labels": [
                f"{one['label']} (F1 {one['f1']:.2f}, {one['rows']} rows)" for one in found["classes"][:5]
            ],
            "calibration error": f"{error['error']:.3f}; by chance alone seldom above {error['error_unlikely']:.3f}",
            "worse than production": worse,
            "answers that change": {one["name"]: f"{one['changed']:.1%}" for one in changes},
            "one text, median and 95th percentile": list(single),
        }
    )


def _worth(worth: Worth, rival: str, labels: int) -> RenderableType:
    told: dict[str, object] = {
        f"against {rival}": worth.verdict,
        "value of 1,000 answers": _money(worth.per_thousand),
    }
    if worth.per_day is not None:
        told["value of a day"] = _money(worth.per_day)
        told["pays itself back in days"] = worth.days_to_pay_back
        told["at worst, in days"] = "never" if worth.days_at_worst is None else worth.days_at_worst
    return facts({**told, f"cost, with {labels:,} labels": worth.cost})


def _money(span: Span) -> str:
    return f"{span.value:,.2f} ({span.low:,.2f} to {span.high:,.2f})"


def _between(found: Mapping[str, Any], sign: str = "") -> str:
    return f"{found['low']:{sign}.3f} to {found['high']:{sign}.3f}"

"""`driftgate drift`: is the traffic still what the model was made for?"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from sqlalchemy.orm import Session

from cli.backtest_command import backtest
from cli.extras import require_extra
from cli.group import command_group
from cli.model_commands import ModelName
from cli.output import AsJson, facts, show, table
from cli.parts import Parts, open_parts, settings_of
from store.checks import get_check, last_checks, why_no_report
from store.clock import span_in_words
from store.false_alarms import PACE_CHECKS, expected_days_between_findings
from store.predictions import get_predictions
from store.settings import Settings
from store.versions import get_deployment
from store.views import check_view

_SHOWN_LABELS = 5
"""Those of the least recall."""
_SHOWN_LETTERS = 160
"""Of an input; all of it is in the JSON."""

app = command_group()
app.command("backtest", epilog="Example: driftgate drift backtest tickets --file may.csv --mix robots.csv --share 0.2")(
    backtest
)


@app.command("check", epilog="Example: driftgate drift check tickets --window 1000 --json")
def check(
    ctx: typer.Context,
    model: ModelName,
    window: Annotated[
        int | None, typer.Option(min=1, help="Newest predictions to look at; the default is DRIFTGATE_WINDOW_ROWS.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the newest predictions with the version's own validation rows, now, and record the verdict."""
    require_extra("monitor")
    settings = settings_of(ctx)
    with open_parts(ctx) as parts, parts.database.read() as session:
        get_deployment(session, model)  # a wrong name is told before evidently is loaded
    from monitor.check import run_check
    from monitor.parts import open_monitor_parts

    with open_monitor_parts(settings) as monitor_parts:
        result = run_check(monitor_parts, model, asked=True, window_rows=window)
        with monitor_parts.database.read() as session:
            view = _with_inputs(session, result.as_dict()) | _promise(session, model, settings)
    show(view, *_drawn(view), as_json=as_json)


@app.command("list", epilog="Example: driftgate drift list tickets --limit 10")
def list_(
    ctx: typer.Context,
    model: ModelName,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The checks of a model, the oldest first."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        get_deployment(session, model)
        checks = last_checks(session, model, limit=limit)
        rows = [
            (c.id, c.at, c.version, c.verdict, c.kinds, c.window_rows, _estimated(c.accuracy), c.decision.get("action"))
            for c in checks
        ]
        columns = ("check", "when", "version", "verdict", "kinds", "rows", "estimated accuracy", "action")
        show(
            {"model": model, "checks": [_with_estimate(check_view(c)) for c in checks]},
            table(columns, rows, empty="no check yet; make one with: driftgate drift check " + model),
            as_json=as_json,
        )


@app.command("show", epilog="Example: driftgate drift show 0199c2f4a1b27c3d8e4f5a6b7c8d9e0f")
def show_(
    ctx: typer.Context,
    check: Annotated[str, typer.Argument(help="The id of the check.", metavar="CHECK")],
    as_json: AsJson = False,
) -> None:
    """One check: signal by signal, with the page that Evidently drew."""
    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            row = get_check(session, check)
            view = _with_inputs(session, _with_estimate(check_view(row)))
        page = _page(parts, row.report)
        told = page or f"none: {why_no_report(row)}"
        show(view | {"page": page and str(page)}, *_drawn(view | {"page": told}), as_json=as_json)


def _drawn(view: dict[str, Any]) -> list[RenderableType]:
    decision = view["decision"]
    told = {
        "check": view["check"],
        "model": f"{view['model']}, version {view['version']}",
        "verdict": view["verdict"],
        "kinds": view["kinds"],
        "reason": view.get("reason", decision.get("drift")),
        "concept": view["concept"],
        "window": f"{view['window_rows']} rows against {view['reference_rows']} of the reference",
        **{f"{kind} accuracy": figure for kind, figure in view["accuracy"].items()},
        **_labels(view["labels"]),
        "action": decision.get("action"),
        "because": decision.get("reasons"),
        "run": view.get("run", decision.get("run")),
        "page": view.get("page") or view["report"],
    }
    if "expected_days_between_findings" in view:
        told["by chance"] = _by_chance(view["expected_days_between_findings"])
    signals = [
        (name, found["drifted"], found["p_value"], found["statistic"], *_change(found))
        for name, found in view["signals"].items()
    ]
    columns = ("signal", "drifted", "p-value", "distance", "most in", "change", "since")
    parts = [facts(told), table(columns, signals, empty="no signal was computed")]
    if view["inputs"]:
        inputs = [(row["label"], row["score"], _short(row["input"])) for row in view["inputs"]]
        parts.append(table(("answered", "score", "where it shows most"), inputs, empty=""))
    return parts


def _labels(said: dict[str, Any] | None) -> dict[str, str | None]:
    """What labels say, in two lines."""
    if said is None:
        return {}
    found, least = said["calibration"], sorted(said["recall"].items(), key=lambda one: one[1]["value"])[:_SHOWN_LABELS]
    recalls = [f"{label} {recall['value']:.2f} of {recall['rows']}" for label, recall in least]
    told = None
    if found is not None:
        agreeing = f"{found['right']:.1%} right, {found['confident']:.1%} sure"
        told = f"{agreeing} ({found['rows']} rows), error {found['error']:.3f}"
    return {"calibration": told, "least recall": ", ".join(recalls) or None}


def _promise(session: Session, model: str, settings: Settings) -> dict[str, float]:
    """How often a check finds something by chance, at the pace of the checks."""
    checked_at = [check.at for check in last_checks(session, model, limit=PACE_CHECKS, decided=True)]
    days = expected_days_between_findings(settings.false_alarm_rate, settings.check_every_s, checked_at)
    return {"expected_days_between_findings": days}


def _by_chance(days: float) -> str:
    return f"one finding in {span_in_words(timedelta(days=days))}, or fewer, while nothing drifts"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_LETTERS else f"{text[: _SHOWN_LETTERS - 1]}\u2026"


def _change(found: dict[str, Any]) -> tuple[str | None, float | None, str | None]:
    """What changed, by how many standard deviations, since when; checks of old releases know none of it."""
    since = found.get("since")
    return found.get("telling"), found.get("change"), since and since[:19].replace("T", " ")


def _with_inputs(session: Session, view: dict[str, Any]) -> dict[str, Any]:
    """The predictions in which a drift shows most, as far as they are still there."""
    rows = get_predictions(session, view["telling"])
    inputs = [{"prediction": r.id, "label": r.label, "score": r.score, "input": r.input} for r in rows]
    return view | {"inputs": inputs}


def _page(parts: Parts, report: str | None) -> Path | None:
    """Where the verified report lies on this machine."""
    return parts.artifacts.fetch(report) / "report.html" if report else None


def _with_estimate(view: dict[str, Any]) -> dict[str, Any]:
    return view | {"estimated_accuracy": _estimated(view["accuracy"])}


def _estimated(accuracy: dict[str, Any]) -> float | None:
    value: float | None = accuracy.get("estimated", {}).get("value")
    return value

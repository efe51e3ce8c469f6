"""What the page of a run shows: how far it is or what came of it, its curves, and all that it was trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from server.console.curves import Curves, draw_curves, round_axis, series_of
from store.comparison import compare_runs, environment_lines, figures
from store.errors import BadInput
from store.events import history
from store.runs import OPEN, get_run, list_runs, run_metrics
from store.views import event_view, run_view

REFRESH_S = 3
"""How often the page of a run that is open loads itself again."""
MOST_COMPARED = 6
TOLD_EVENTS = 1000
"""Newest events of the model among which those of the run are looked for."""

Figures = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its words."""

    name: str
    unit: str
    summary: str
    chart: Curves


def run_page(session: Session, run_id: str, now: datetime) -> dict[str, Any]:
    """What run.html takes. Raises NotFound."""
    run = get_run(session, run_id)
    metrics = run_metrics(session, run_id)
    by_step: dict[int, dict[str, float]] = {}
    for metric in metrics:
        by_step.setdefault(metric.step, {})[metric.name] = metric.value
    before = [other.id for other in list_runs(session, run.model) if other.created_at < run.created_at]
    return {
        "run": run_view(run),
        "is_open": run.status in OPEN,
        "refresh_s": REFRESH_S,
        "took": (run.ended_at or now) - run.started_at if run.started_at else None,
        "pictures": pictures(by_step),
        "epochs": [(step, values) for step, values in sorted(by_step.items()) if "eval_loss" in values],
        "kept": kept_step(by_step),
        "plan": run.environment.get("plan", {}),
        "environment": environment_lines(run.environment),
        "evaluation": figures(run.evaluation),
        "events": [
            event_view(event)
            for event in history(session, run.model, limit=TOLD_EVENTS)
            if event.links.get("run") == run.id
        ],
        "before": before[-1] if before else None,
    }


def compare_page(session: Session, run_ids: Sequence[str]) -> dict[str, Any]:
    """What compare.html takes. Raises NotFound, BadInput."""
    if not 2 <= len(run_ids) <= MOST_COMPARED:
        raise BadInput(
            f"{len(run_ids)} runs cannot be compared; name 2 to {MOST_COMPARED}: /runs/compare?run=A&run=B", where="run"
        )
    runs = [(get_run(session, run_id), run_metrics(session, run_id)) for run_id in run_ids]
    return {"runs": [run_view(run) for run, _ in runs], "lines": compare_runs(runs)}


def kept_step(by_step: Figures) -> int | None:
    """The step whose weights were kept: that of the lowest validation loss."""
    losses = {step: values["eval_loss"] for step, values in by_step.items() if "eval_loss" in values}
    return min(losses, key=lambda step: (losses[step], step), default=None)


def pictures(by_step: Figures) -> list[Picture]:
    """Both losses in one picture, and the validation accuracy; none of what has no figures yet."""
    kept, last = kept_step(by_step), max(by_step, default=1)
    training = series_of(by_step, "loss", told="training loss", kind="training")
    validation = series_of(by_step, "eval_loss", told="validation loss", kind="validation")
    losses = [value for one in (training, validation) for _, value in one.points]
    percent = {step: {name: 100 * value for name, value in values.items()} for step, values in by_step.items()}
    accuracy = series_of(percent, "eval_accuracy", told="validation accuracy", kind="validation", unit=" %")
    shares = [value for _, value in accuracy.points]
    drawn = []
    if losses:
        chart = draw_curves(
            [training, validation], round_axis([0.0, *losses], lowest=0.0), last_step=last, kept_step=kept
        )
        drawn.append(Picture("Loss", "cross-entropy, nats", _summary("loss", losses, kept), chart))
    if shares:
        axis = round_axis(shares, lowest=0.0, highest=100.0, unit=" %")
        chart = draw_curves([accuracy], axis, last_step=last, kept_step=kept)
        drawn.append(Picture("Validation accuracy", "share of rows", _summary("accuracy in %", shares, kept), chart))
    return drawn


def _summary(what: str, values: Sequence[float], kept: int | None) -> str:
    ending = "" if kept is None else f"; the weights of step {kept} are kept"
    return f"{what} by training step, {min(values):.4g} to {max(values):.4g}{ending}"

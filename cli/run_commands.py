"""`driftgate run`: what was trained, with which parameters, and what came of it."""

from typing import Annotated

import typer

from cli.extras import require_extra
from cli.group import command_group
from cli.output import AsJson, cell, facts, show, table
from cli.parts import open_parts, person
from cli.progress import progress_bar
from cli.quiet import quiet_libraries
from store.comparison import compare_runs, environment_lines, figures
from store.errors import Refused
from store.events import history
from store.runs import OPEN, get_run, list_runs, run_metrics
from store.versions import get_deployment
from store.views import run_view

app = command_group()

RunId = Annotated[str, typer.Argument(help="The id of the run.", metavar="RUN")]


@app.command("list", epilog="Example: driftgate run list tickets")
def list_(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Only runs of this model.", metavar="MODEL")] = None,
    as_json: AsJson = False,
) -> None:
    """All runs, the oldest first."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        runs = list_runs(session, model)
        if model is not None and not runs and not history(session, model, limit=1):
            get_deployment(session, model)  # an unknown name is told as such
        show(
            {"runs": [run_view(run) for run in runs]},
            table(
                ("run", "model", "status", "stage", "done", "strategy", "version", "accuracy", "created"),
                [
                    (
                        run.id,
                        run.model,
                        run.status,
                        run.stage if run.status in OPEN else None,
                        f"{run.progress:.0%}",
                        run.strategy,
                        run.version,
                        run.evaluation.get("accuracy"),
                        run.created_at,
                    )
                    for run in runs
                ],
                empty="no run yet",
            ),
            as_json=as_json,
        )


@app.command("show", epilog="Example: driftgate run show 0199c2f4a1b27c3d8e4f5a6b7c8d9e0f")
def show_(ctx: typer.Context, run: RunId, as_json: AsJson = False) -> None:
    """One run: why it was asked for, its parameters, its environment, its curves and its outcome."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        found = get_run(session, run)
        metrics = run_metrics(session, run)
        view = run_view(found, metrics)
        told = {name: value for name, value in view.items() if name not in ("metrics", "evaluation", "environment")}
        told |= {f"environment: {name}": value for name, value in environment_lines(found.environment).items()}
        told |= {f"evaluation: {name}": value for name, value in figures(found.evaluation).items()}
        names = sorted({metric.name for metric in metrics})
        by_step: dict[int, dict[str, float]] = {}
        for metric in metrics:
            by_step.setdefault(metric.step, {})[metric.name] = metric.value
        curves = [(step, *(values.get(name) for name in names)) for step, values in by_step.items()]
        show(view, facts(told), table(("step", *names), curves, empty="no figures by step"), as_json=as_json)


@app.command(
    "compare",
    epilog="Example: driftgate run compare 0199c2f4a1b27c3d8e4f5a6b7c8d9e0f 0199d7e1b2c37d4e8f5a6b7c8d9e0f1a",
)
def compare(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(help="Two runs or more.", metavar="RUN RUN...")],
    as_json: AsJson = False,
) -> None:
    """Runs side by side: parameters, environment, figures and outcome. The lines in which they differ come first,
    with a star."""
    if len(runs) < 2:
        raise typer.BadParameter("name at least two runs")
    with open_parts(ctx) as parts, parts.database.read() as session:
        found = [(get_run(session, run), run_metrics(session, run)) for run in runs]
        lines = compare_runs(found)
        show(
            {
                "runs": [run_view(run, metrics) for run, metrics in found],
                "differs": [line.name for line in lines if line.differs],
            },
            table(
                ("", "", *runs),
                [("*" if line.differs else " ", line.name, *map(cell, line.values)) for line in lines],
            ),
            as_json=as_json,
        )


@app.command("reproduce", epilog="Example: driftgate run reproduce 0199c2f4a1b27c3d8e4f5a6b7c8d9e0f")
def reproduce(ctx: typer.Context, run: RunId, as_json: AsJson = False) -> None:
    """Train a run again from its record, and compare: the same rows, base, starting point, plan and seed.

    No version is made and nothing is deployed; the model's history gets a line. The exit code is 1 when the validation
    accuracy differs by more than 0.3 points, or the rows are not those of the record.
    """
    require_extra("retrain")
    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            get_run(session, run)  # a wrong id is told before torch is loaded
        with progress_bar() as progress:
            from retrain.worker import calm_threads

            calm_threads()
            quiet_libraries()
            from retrain.reproduce import reproduce_run

            found = reproduce_run(
                parts.settings,
                parts.database,
                parts.artifacts,
                run,
                by=person(),
                progress=progress,
                clock=parts.clock,
            )
        told = found.as_dict()
        epochs = [tuple(epoch.values()) for epoch in told["epochs"]]
        show(
            told,
            facts({name: value for name, value in told.items() if name not in ("epochs", "environment")}),
            table(("step", "loss then", "loss now", "accuracy then", "accuracy now"), epochs),
            table(
                ("", "environment", "then", "now"),
                [("*", name, *pair) for name, pair in found.environment.items()],
                empty="the environment is the same",
            ),
            as_json=as_json,
        )
        if not found.agrees:
            raise Refused(f"run {run} was not reproduced: {found.verdict}")

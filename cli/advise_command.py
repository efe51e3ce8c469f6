"""`driftgate advise`: what an expert would train in a situation, why, and what it takes; nothing is trained."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
from rich.console import RenderableType
from rich.text import Text

from cli.output import AsJson, facts, show, table
from cli.parts import open_parts
from engine.base import spec_from_json
from retrain.advice import Advice, advise
from retrain.advice_words import count, duration, size
from retrain.choose import backbone_of
from retrain.cost import Backbone, Situation
from retrain.levels import COMPUTE, SIMILARITY
from retrain.matrix import MODELS, TASKS, compatibility, fit
from store.bases import get_base
from store.errors import BadInput, unknown


def advise_command(
    ctx: typer.Context,
    task: Annotated[str | None, typer.Option(help=f"What is to be learned: {', '.join(TASKS)}.")] = None,
    examples: Annotated[int | None, typer.Option(min=1, help="Labelled rows that there are, all splits.")] = None,
    similarity: Annotated[
        str | None,
        typer.Option(help="How near the data is to what the base knows: high, medium, low, or a number from 0 to 1."),
    ] = None,
    compute: Annotated[
        Literal["low", "medium", "high"] | None,
        typer.Option(help="low: 2 cores, 10 minutes; medium: 8 cores, 1 hour; high: a GPU, 4 hours."),
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes; 1 for a number.")] = 10,
    tokens: Annotated[
        float | None, typer.Option(min=1, help="Mean tokens a row; the default is what the task often has.")
    ] = None,
    base: Annotated[str, typer.Option(help="A model of the matrix, or a base of the store.")] = "all-MiniLM-L6-v2",
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Show how ten well-known models fit eight tasks; with --task, why.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Strategy, layers to freeze, learning rates, epochs, time and memory, in three sentences and in figures.

    Estimates, not measurements. The same in a browser: the page /advisor of `driftgate serve`.
    """
    if task is not None and task not in TASKS:
        raise unknown("task", task, TASKS)
    if matrix:
        _show_matrix(task, as_json=as_json)
        return
    if task is None or examples is None or similarity is None or compute is None:
        raise typer.BadParameter("say --task, --examples, --similarity and --compute, or --matrix")
    level = COMPUTE[compute]
    backbone = MODELS[base].backbone if base in MODELS else _stored(ctx, base)
    situation = Situation(
        task=task,
        rows=examples,
        classes=classes,
        similarity=_similarity(similarity),
        backbone=backbone,
        tokens=float(tokens or TASKS[task].tokens),
        device=level.device,
        cores=level.cores,
        time_s=level.time_s,
        memory_bytes=level.memory_bytes,
    )
    advice = advise(situation)
    fits = {"fit": asdict(fit(MODELS[base], TASKS[task]))} if base in MODELS else {}
    show(
        {"situation": asdict(situation), **asdict(advice), **fits},
        Text("\n".join([*advice.why, *advice.notes, *_fit_line(fits), ""])),
        facts(_figures(advice)),
        Text(""),
        table(("layers", "learning rate", "what"), [(g.name, _rate(g.learning_rate), g.holds) for g in advice.groups]),
        Text(""),
        table(("strategy", "time", "memory", "fits", "why not"), _options(advice)),
        as_json=as_json,
    )


def _stored(ctx: typer.Context, name: str) -> Backbone:
    with open_parts(ctx) as parts, parts.database.read() as session:
        return backbone_of(spec_from_json(get_base(session, name).spec))


def _similarity(said: str) -> float:
    if said in SIMILARITY:
        return SIMILARITY[said]
    try:
        return float(said)
    except ValueError:
        raise BadInput(
            f"--similarity is {said!r}; say {', '.join(SIMILARITY)}, or a number from 0 to 1", where="similarity"
        ) from None


def _figures(advice: Advice) -> Mapping[str, object]:
    lora = f"rank {advice.rank}, alpha {advice.alpha}, on {', '.join(advice.targets)}"
    frozen = f"layers {advice.frozen_layers[0]} to {advice.frozen_layers[-1]}" if advice.frozen_layers else "none"
    return {
        "strategy": advice.strategy,
        "frozen": f"embeddings, {frozen}" if advice.embeddings_frozen else frozen,
        **({"LoRA": lora} if advice.rank else {}),
        "epochs": f"{advice.epochs}, {count(advice.total_steps)} steps of {advice.batch_rows} rows",
        "warm-up": f"{count(advice.warmup_steps)} steps, then {advice.schedule}",
        "takes about": f"{duration(advice.seconds)}, {size(advice.bytes)}",
    }


def _options(advice: Advice) -> list[tuple[object, ...]]:
    known = {one.strategy: one for one in advice.options}
    rows: list[tuple[object, ...]] = []
    for name in (*known, *(name for name in advice.rejected if name not in known)):
        one = known.get(name)  # type: ignore[call-overload]  # of the others there is no estimate
        figures = (duration(one.seconds), size(one.bytes), one.fits) if one else (None, None, None)
        rows.append((name, *figures, advice.rejected.get(name, "advised")))
    return rows


def _fit_line(fits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [f"This base for this task: {one['score']} of 5, {one['reason']}." for one in fits.values()]


def _rate(rate: float) -> str:
    return f"{rate:.2g}" if rate else "frozen"


def _show_matrix(task: str | None, *, as_json: bool) -> None:
    found = compatibility()
    result = {name: {each: asdict(one) for each, one in row.items()} for name, row in found.items()}
    show({"matrix": result}, _scores(found, task), as_json=as_json)


def _scores(found: Mapping[str, Mapping[str, Any]], task: str | None) -> RenderableType:
    if task is None:
        return table(("model", *TASKS), [(name, *(one.score for one in row.values())) for name, row in found.items()])
    ranked = sorted(found.items(), key=lambda item: -item[1][task].score)
    facts_of = {name: MODELS[name] for name in found}
    return table(
        ("model", "score", "why", "parameters", "licence"),
        [
            (name, row[task].score, row[task].reason, facts_of[name].backbone.parameters, facts_of[name].license)
            for name, row in ranked
        ],
    )

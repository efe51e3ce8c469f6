"""`driftgate base trial`: two or three bases on a small subset of a person's data, in one table."""

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.data_commands import LabelColumn, TextColumn
from cli.extras import require_extra
from cli.output import AsJson, show, table
from cli.parts import Parts, open_parts
from cli.progress import progress_bar
from engine.base import spec_from_json
from engine.engine import Engine
from engine.profile import measure_latency
from engine.speed import measure_speeds
from store.bases import get_base
from store.errors import BadInput
from store.records import Base

if TYPE_CHECKING:  # the extra `retrain` may be missing
    from collections.abc import Callable, Sequence

    from retrain.dataset import Row
    from retrain.trial import TrialLine, Tried


def trial(
    ctx: typer.Context,
    bases: Annotated[
        list[str],
        typer.Argument(help="Two or three bases; the first is what others are compared with.", metavar="BASE..."),
    ],
    data: Annotated[Path, typer.Option(help="CSV, JSONL (both also with .gz) or Parquet.", metavar="FILE")],
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    rows: Annotated[int, typer.Option(min=10, max=20_000, help="Rows that are tried at most, stratified.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Which rows, and which folds.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare bases on the same rows of your own: accuracy of their frozen features, speed, licence. Nothing is trained
    for keeps."""
    require_extra("retrain")
    if not 2 <= len(set(bases)) == len(bases) <= 3:
        raise BadInput(f"a trial compares two or three different bases, not {', '.join(bases)}", where="bases")
    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            known = [get_base(session, name) for name in bases]
        from retrain.dataset import read_rows
        from retrain.trial import choose_rows, compare_bases

        chosen = choose_rows(read_rows(data, text_column=text_column, label_column=label_column), most=rows, seed=seed)
        with progress_bar() as progress:
            tried = [
                _try(parts, base, chosen, seed, _part(progress, base.name, i, len(known)))
                for i, base in enumerate(known)
            ]
        lines = compare_bases(tried)
        classes = len({row.label for row in chosen})
        result = {"rows": len(chosen), "classes": classes, "seed": seed, "bases": [line.as_dict() for line in lines]}
        told = f"{len(chosen):,} rows of {classes} classes, 5 folds; frozen features, nothing was fine-tuned"
        show(result, _drawn(lines), told, as_json=as_json)


def _try(parts: Parts, base: Base, rows: "Sequence[Row]", seed: int, progress: "Callable[[float], None]") -> "Tried":
    from retrain.features import FeatureCache
    from retrain.frozen import frozen_accuracy
    from retrain.trial import Tried

    texts = [row.text for row in rows]
    engine = Engine(parts.artifacts.fetch(base.artifact), slots=2, lanes=1, provider=parts.settings.provider)
    lengths = [row.length_tokens for row in engine.modality.encode(texts, truncate=True)]
    latency = measure_latency(engine, tokens=int(median(lengths)), batch=1)
    speeds = measure_speeds(engine, ("fp32",))
    features = FeatureCache(parts.settings.home / "cache" / "features", engine).of(texts, progress=progress)
    return Tried(
        base=base.name,
        score=frozen_accuracy(features, [row.label for row in rows], seed=seed),
        tokens_per_s=speeds["fp32"],
        p50_s=latency.p50_s,
        parameters=spec_from_json(base.spec).parameters,
        licence=base.license,
        state=base.state,
    )


def _part(progress: "Callable[[str, float], None]", name: str, done: int, of: int) -> "Callable[[float], None]":
    return lambda share: progress(f"trying {name}", (done + share) / of)


def _drawn(lines: "Sequence[TrialLine]") -> Any:
    columns = ("base", "accuracy", "95 %", "difference", "p", "tokens/s", "p50 ms", "parameters", "licence", "state")
    return table(
        columns,
        [
            (
                line.base,
                f"{line.accuracy:.3f}",
                f"{line.interval[0]:.3f} to {line.interval[1]:.3f}",
                None if line.difference is None else f"{line.difference:+.3f} ({line.won} won, {line.lost} lost)",
                None if line.p_value is None else f"{line.p_value:.2g}",
                f"{line.tokens_per_s:,.0f}",
                f"{line.p50_s * 1000:.2f}",
                f"{line.parameters:,}",
                line.licence,
                line.state,
            )
            for line in lines
        ],
    )

"""`driftgate drift backtest`: what the alarm would have done, before anybody switches it on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from cli.backtest_picture import backtest_picture
from cli.extras import require_extra
from cli.load.texts import read_texts
from cli.output import AsJson, facts, printable, say, show, table
from cli.parts import Parts, open_parts
from cli.progress import progress_bar, spinner
from cli.snapshot_texts import known_groups
from cli.svg import write_picture
from engine.precision import Precision
from store.bases import get_base
from store.errors import BadInput, Broken, Conflict, Refused
from store.records import Version
from store.reference import Reference, load_reference
from store.versions import get_adapter, get_deployment, get_version

if TYPE_CHECKING:  # ONNX Runtime, or the extra `monitor`, may be missing
    from engine.engine import Scored
    from monitor.backtest import Backtest, Draw, Judged

_WINDOWS, _MOST_WINDOWS = 200, 10_000


def backtest(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="The model, whose production version is asked.", metavar="MODEL")],
    file: Annotated[
        Path,
        typer.Option(
            help="Texts to judge: .txt with one a line, or .csv or .jsonl with a text column.", metavar="FILE"
        ),
    ],
    windows: Annotated[
        int | None, typer.Option(min=1, max=_MOST_WINDOWS, help=f"How many windows to draw; the default is {_WINDOWS}.")
    ] = None,
    window_size: Annotated[
        int | None, typer.Option(min=1, help="Rows of a window; the default is DRIFTGATE_WINDOW_ROWS.")
    ] = None,
    mix: Annotated[
        Path | None, typer.Option(help="Texts of which each window gets a share: the drift to find.", metavar="FILE")
    ] = None,
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Share of a window that --mix gives.")] = None,
    in_order: Annotated[
        bool, typer.Option("--in-order", help="Take the file as it happened, window after window, instead of drawing.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same windows.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Draw each signal's evidence, window by window, as SVG.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play windows of your own texts to the drift check: how often is it a false alarm, what does it find, how soon?

    Nothing is recorded. Texts that trained the version, or are its reference, are left out: it knows them too well.
    """
    if (mix is None) != (share is None):
        raise typer.BadParameter("--mix and --share belong together", param_hint="--mix")
    if in_order and not (mix is None and windows is None):
        raise typer.BadParameter("takes the file as it is, without --mix and --windows", param_hint="--in-order")
    require_extra("monitor")
    from monitor.backtest import draw_windows, require_reference_rows, summarise, windows_in_order
    from monitor.check import rules_from
    from retrain.dataset import group_key

    texts, others = read_texts(file), read_texts(mix) if mix else []
    with open_parts(ctx) as parts:
        version, reference = _version_and_reference(parts, model)
        require_reference_rows(reference, rules_from(parts.settings))
        size = window_size or parts.settings.window_rows
        if size < parts.settings.window_min_rows:
            raise BadInput(
                f"a window of {size} rows is below DRIFTGATE_WINDOW_MIN_ROWS={parts.settings.window_min_rows}",
                where="window_size",
            )
        known = known_groups(parts, version)
        own, other = ([text for text in some if group_key(text) not in known] for some in (texts, others))
        left_out = len(texts) + len(others) - len(own) - len(other)
        if left_out:
            say(f"{left_out:,} texts trained the version or are its reference: left out")
        if in_order:
            draws = windows_in_order(len(own), window_rows=size)
        else:
            drawn = draw_windows(
                len(own),
                window_rows=size,
                windows=windows or _WINDOWS,
                rng=np.random.default_rng(seed),
                other_rows=len(other),
                share=share or 0.0,
            )
            draws = list(drawn)
        judged = _play(parts, version, reference, draws, own, other, streams=not in_order)
        rate = parts.settings.false_alarm_rate
    found = summarise(judged, window_rows=size, streams=not in_order)
    result = {
        "model": model,
        "version": version.number,
        "reference_rows": reference.rows,
        **_as_dict(found),
        "false_alarm_rate": rate,
        "left_out": left_out,
        "windows_without_overlap": len(own) // rows_each if (rows_each := len(draws[0].own)) else None,
        "verdicts": [_verdict(window) for window in judged],
    }
    show(result, *_told(result, found, judged, mixed=mix is not None, in_order=in_order), as_json=as_json)
    if picture:
        what = f"{printable(file.name)}, {found.windows} windows of {size} rows"
        title = f"{what} against {reference.rows} of {model}, version {version.number}"
        write_picture(picture, backtest_picture([window.decision for window in judged], title=title))
        say(f"drawn: {picture}")


def _version_and_reference(parts: Parts, model: str) -> tuple[Version, Reference]:
    with parts.database.read() as session:
        number = get_deployment(session, model).production
        if number is None:
            raise Conflict(f"model {model!r} has no version in production; there is nothing to ask")
        version = get_version(session, model, number)
    if version.reference is None:
        raise Refused(f"version {number} of {model!r} has no reference: it was registered without validation rows")
    return version, load_reference(parts.artifacts.fetch(version.reference))


def _play(
    parts: Parts,
    version: Version,
    reference: Reference,
    draws: "Sequence[Draw]",
    own: Sequence[str],
    other: Sequence[str],
    *,
    streams: bool,
) -> "list[Judged]":
    from monitor.backtest import judge_windows, window_of
    from monitor.check import rules_from

    with spinner(f"scoring {len(own) + len(other):,} texts"):
        scored = _score(parts, version, [*own, *other])
    judged = []
    with progress_bar() as progress:
        windows = (window_of(np.concatenate([draw.own, len(own) + draw.other]), scored) for draw in draws)
        for window in judge_windows(reference, windows, rules_from(parts.settings), streams=streams):
            judged.append(window)
            progress("checking windows", len(judged) / len(draws))
    return judged


def _score(parts: Parts, version: Version, texts: Sequence[str]) -> "Scored":
    """As the reference was scored, so that the rounding of a precision is no drift."""
    from engine.adapter import read_adapter
    from engine.engine import Engine
    from engine.speed import offered_precisions

    with parts.database.read() as session:
        adapter = get_adapter(session, version)
        bundle = get_base(session, adapter.base).artifact
    engine = Engine(parts.artifacts.fetch(bundle), slots=2, provider=parts.settings.provider)
    precision: Precision = version.evaluation.get("reference_precision", "fp32")
    if precision not in offered_precisions(engine):
        say(f"the reference was scored in {precision}, which does not run here: these texts are scored in fp32")
        precision = "fp32"
    engine.open(precision)
    engine.bank.load("asked", read_adapter(parts.artifacts.fetch(adapter.artifact), engine.spec))
    scored = engine.score(texts, "asked", labels=len(adapter.labels), precision=precision)
    if not np.isfinite(scored.probabilities).all():
        raise Broken(f"the weights of version {version.number} make some answers overflow; servers refuse those too")
    return scored


def _as_dict(found: "Backtest") -> dict[str, Any]:
    return {
        "windows": found.windows,
        "window_rows": found.window_rows,
        "alarms": found.alarms,
        "rate": found.rate,
        "interval": list(found.interval),
        "confirmed": found.confirmed,
        "mean_delay_windows": found.mean_delay_windows,
    }


def _verdict(window: "Judged") -> dict[str, Any]:
    return {
        "verdict": window.decision.verdict.value,
        "drifted": list(window.decision.drifted),
        "estimated_accuracy": window.estimated.value if window.estimated else None,
    }


def _told(
    result: dict[str, Any], found: "Backtest", judged: "Sequence[Judged]", *, mixed: bool, in_order: bool
) -> list[Any]:
    low, high = found.interval
    told: dict[str, Any] = {
        "model": f"{result['model']}, version {result['version']}",
        "windows": f"{found.windows} of {found.window_rows} rows against {result['reference_rows']} of the reference",
        "alarms": f"{found.alarms}, which is {found.rate:.1%} ({low:.1%} to {high:.1%})",
    }
    if not mixed:
        told["if nothing drifted"] = f"{result['false_alarm_rate']:.1%} at most, in the mean over many references"
    told["confirmed as drift"] = found.confirmed
    if found.mean_delay_windows is not None:
        told["first confirmed in" if in_order else "confirmed after"] = f"{found.mean_delay_windows:.1f} windows"
    drawn: list[Any] = [facts(told)]
    if in_order:
        rows = [
            (i + 1, w.decision.verdict.value, ", ".join(w.decision.drifted), w.estimated.value if w.estimated else None)
            for i, w in enumerate(judged)
        ]
        drawn.append(table(("window", "verdict", "drifted", "estimated accuracy"), rows))
    return drawn

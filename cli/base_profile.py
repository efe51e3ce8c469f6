"""What `driftgate base import` measures of a base, and how `driftgate base show` tells it."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from cli.output import facts, table
from cli.parts import Parts
from engine.engine import Engine
from engine.precision import Precision
from engine.profile import profile_base
from engine.speed import measure_speeds, offered_precisions
from store.errors import Broken

if TYPE_CHECKING:  # the extra `retrain` may be missing
    from retrain.dataset import Row

SAMPLE_ROWS = 2_000
"""Rows of a sample at most: with them the interval of an accuracy is some two points wide to either side."""


def measure_base_speeds(parts: Parts, bundle: Path) -> dict[Precision, float]:
    """Tokens/s on one core of each precision that runs here."""
    engine = Engine(bundle, slots=2, lanes=1, provider=parts.settings.provider)
    return measure_speeds(engine, offered_precisions(engine))


def measure_profile(parts: Parts, bundle: Path) -> dict[str, Any]:
    """engine.profile, from a fresh process: in this one torch has left its traces. Raises Broken if that one dies."""
    apart = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=apart) as process:
            profile = process.submit(profile_base, bundle, provider=parts.settings.provider).result()
    except BrokenProcessPool:
        raise Broken(
            "the process that measured the base died, perhaps for want of memory; --no-profile leaves that out"
        ) from None
    return profile.as_dict()


def measure_sample(
    parts: Parts, bundle: Path, rows: "Sequence[Row]", *, name: str, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Frozen-feature accuracy on a person's own rows; name: what to call them."""
    from retrain.features import FeatureCache
    from retrain.frozen import frozen_accuracy

    engine = Engine(bundle, slots=2, lanes=1, provider=parts.settings.provider)
    cache = FeatureCache(parts.settings.home / "cache" / "features", engine)
    features = cache.of([row.text for row in rows], progress=progress)
    score = frozen_accuracy(features, [row.label for row in rows], seed=0)
    return {
        "file": name,
        "rows": score.rows,
        "classes": len({row.label for row in rows}),
        "accuracy": score.accuracy,
        "interval": list(score.interval),
    }


def drawn_profile(profile: Mapping[str, Any]) -> list[RenderableType]:
    """Nothing for a base that was not profiled."""
    drawn: list[RenderableType] = []
    if latencies := profile.get("latencies"):
        batches = sorted({one["batch"] for one in latencies})
        found = {(one["tokens"], one["batch"]): one["p50_s"] * 1000 for one in latencies}
        lengths = sorted({one["tokens"] for one in latencies})
        rows = [(length, *(found.get((length, batch)) for batch in batches)) for length in lengths]
        drawn += [
            f"p50 in ms, fp32, {profile['provider']} on {profile['cores']} cores:",
            table(("tokens a text", *(f"{batch} at once" for batch in batches)), rows),
        ]
    told: dict[str, object] = {}
    if graphs := profile.get("graph_bytes"):
        resident = profile.get("resident_bytes")
        told["memory"] = (
            "not known on this system" if resident is None else f"{_mib(resident)} resident, opened in fp32"
        )
        told["graphs"] = ", ".join(f"{name} {_mib(size)}" for name, size in graphs.items())
    if sample := profile.get("sample"):
        low, high = sample["interval"]
        told["frozen features"] = (
            f"accuracy {sample['accuracy']:.3f} ({low:.3f} to {high:.3f}) "
            f"on {sample['rows']:,} rows of {sample['classes']} classes of {sample['file']}"
        )
    return [*drawn, facts(told)] if told else drawn


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"

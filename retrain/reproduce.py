"""Trains a run again from its record, and says whether the same came of it. Nothing is registered or deployed.

What a training makes depends on its rows, its base, the adapter that it started from, its plan with the seed, and on
the machine: with other kernels or another number of threads sums are taken in another order, and the last digits
differ. The first four must be those of the record; the machine may differ, and what differs is told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from sqlalchemy.orm import Session

from engine.adapter import WEIGHTS_FILE
from engine.base import BaseSpec, read_spec, spec_from_json
from retrain.environment import describe_environment
from retrain.snapshot import digest_rows, load_snapshot
from retrain.strategy import plan_from_json
from retrain.teach import train_on_rows
from retrain.trained import BACKBONE_WEIGHTS
from store.artifacts import ArtifactStore
from store.bases import get_base
from store.clock import Clock
from store.comparison import environment_lines
from store.database import Database
from store.errors import Conflict, Refused
from store.events import tell
from store.records import Base, Run, Version
from store.runs import OPEN, get_run, run_metrics
from store.settings import Settings
from store.versions import get_adapter, get_version

MOST_POINTS = 0.3
"""Validation accuracy may differ by this many points of a hundred: another machine rounds differently."""

Figures = Mapping[int, Mapping[str, float]]
"""Figures of a run by step."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One evaluation on the validation rows, then and now; None where one of the two did not come so far."""

    step: int
    loss_then: float | None
    loss_now: float | None
    accuracy_then: float | None
    accuracy_now: float | None


@dataclass(frozen=True, slots=True)
class Reproduction:
    run: str
    model: str
    snapshot: str
    same_snapshot: bool
    """Whether the stored rows are, byte for byte, those that the run trained on."""
    epochs: tuple[Epoch, ...]
    accuracy_then: float
    """Validation accuracy of the epoch that was kept, the one with the lowest validation loss."""
    accuracy_now: float
    identical: bool | None
    """Whether the weights are the same bytes; None where the run left none to compare with."""
    largest_difference: float | None
    """Between two weights; None where there is nothing to compare, or shapes differ."""
    environment: Mapping[str, tuple[Any, Any]]
    """What differs between then and now."""

    @property
    def points(self) -> float:
        """Difference of the validation accuracies, in points of a hundred."""
        return 100 * abs(self.accuracy_now - self.accuracy_then)

    @property
    def agrees(self) -> bool:
        return self.same_snapshot and self.points <= MOST_POINTS + 1e-9

    @property
    def verdict(self) -> str:
        accuracy = f"validation accuracy {self.accuracy_then:.4f} -> {self.accuracy_now:.4f}"
        rows = "the same rows" if self.same_snapshot else "other rows than those of the record"
        match self.identical, self.largest_difference:
            case True, _:
                weights = "identical weights"
            case False, float(largest):
                weights = f"weights that differ by {largest:.2g} at most"
            case False, None:
                weights = "weights of another shape"
            case _:
                weights = "no weights to compare with"
        return f"{accuracy}, {rows}, {weights}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "model": self.model,
            "reproduced": self.agrees,
            "verdict": self.verdict,
            "snapshot": self.snapshot,
            "same_snapshot": self.same_snapshot,
            "accuracy_then": self.accuracy_then,
            "accuracy_now": self.accuracy_now,
            "difference_points": self.points,
            "identical": self.identical,
            "largest_difference": self.largest_difference,
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "environment": {name: {"then": then, "now": now} for name, (then, now) in self.environment.items()},
        }


def reproduce_run(
    settings: Settings,
    database: Database,
    artifacts: ArtifactStore,
    run_id: str,
    *,
    by: str,
    progress: Callable[[str, float], None],
    clock: Clock,
) -> Reproduction:
    """Train `run_id` again and compare; the model's story gets a line about it.

    Raises NotFound; Conflict while the run is open; Refused where the record is not enough, or the base is another
    one now; ArtifactCorrupt where the rows are not what they were.
    """
    with database.read() as session:
        run = get_run(session, run_id)
        before = by_step((metric.step, metric.name, metric.value) for metric in run_metrics(session, run_id))
        base = get_base(session, run.base)
        version = None if run.version is None else get_version(session, run.model, run.version)
        left = None if version is None else _left_by(session, version, family=run.base)
    require_record(run, before)
    bundle = artifacts.fetch(base.artifact)
    require_same_base(run, base, read_spec(bundle))
    progress("snapshot", 0.0)
    recorded = run.environment["snapshot"]
    rows = load_snapshot(database, artifacts, recorded["id"])
    _set_threads(run.environment)

    now: dict[int, dict[str, float]] = {}

    def on_step(step: int, share: float, figures: Mapping[str, float]) -> None:
        progress("training", share)
        now.setdefault(step, {}).update(figures)

    works = settings.home / "work"
    works.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"again-{run_id}-", dir=works) as work:
        trained = train_on_rows(
            artifacts,
            bundle,
            plan_from_json(run.environment["plan"]),
            rows,
            start=run.environment["start"],
            features=settings.home / "cache" / "features",
            work=Path(work),
            on_step=on_step,
        )
        identical, largest = (
            (None, None) if left is None else compare_weights(_weights_of(artifacts, left), trained.weights)
        )
    found = Reproduction(
        run=run.id,
        model=run.model,
        snapshot=recorded["id"],
        same_snapshot=digest_rows(rows) == recorded["rows_sha256"],
        epochs=pair_epochs(before, now),
        accuracy_then=kept_accuracy(before),
        accuracy_now=kept_accuracy(now),
        identical=identical,
        largest_difference=largest,
        environment=differences(run.environment, describe_environment()),
    )
    with database.write() as session:
        told = f"{'the same came of it' if found.agrees else 'something else came of it'}: {found.verdict}"
        tell(session, run.model, "run_reproduced", told, by=by, now=clock(), version=run.version, run=run.id)
    progress("done", 1.0)
    return found


def require_record(run: Run, figures: Figures) -> None:
    """Raises Conflict, Refused."""
    if run.status in OPEN:
        raise Conflict(f"run {run.id} is still {run.status}; wait for its end: driftgate run show {run.id}")
    if not {"plan", "base", "snapshot", "start"} <= set(run.environment):
        raise Refused(
            f"run {run.id} cannot be trained again: its record does not say what it started from; "
            "it ended before it trained, or an older driftgate made it"
        )
    if not any("eval_accuracy" in values for values in figures.values()):
        raise Refused(f"run {run.id} has no figure on its validation rows that a second training could be held to")


def require_same_base(run: Run, base: Base, spec: BaseSpec) -> None:
    """Raises Refused."""
    recorded = run.environment["base"]
    for what, then, now in (
        ("graph", recorded["artifact"], base.artifact),
        ("weights", recorded["weights_sha256"], spec.weights_sha256),
    ):
        if then != now:
            raise Refused(
                f"base {run.base!r} has other {what} now ({_short(now)}) than run {run.id} was trained on "
                f"({_short(then)}); import the base again as it was"
            )


def by_step(figures: Any) -> dict[int, dict[str, float]]:
    """figures: (step, name, value) of each."""
    found: dict[int, dict[str, float]] = {}
    for step, name, value in figures:
        found.setdefault(step, {})[name] = value
    return found


def pair_epochs(then: Figures, now: Figures) -> tuple[Epoch, ...]:
    steps = sorted(step for step in {*then, *now} if "eval_loss" in {**then.get(step, {}), **now.get(step, {})})
    return tuple(
        Epoch(
            step,
            loss_then=then.get(step, {}).get("eval_loss"),
            loss_now=now.get(step, {}).get("eval_loss"),
            accuracy_then=then.get(step, {}).get("eval_accuracy"),
            accuracy_now=now.get(step, {}).get("eval_accuracy"),
        )
        for step in steps
    )


def kept_accuracy(figures: Figures) -> float:
    """Of the evaluation with the lowest loss; of the first, if several have it."""
    evaluated = [values for _, values in sorted(figures.items()) if "eval_accuracy" in values]
    return min(evaluated, key=lambda values: values.get("eval_loss", 0.0))["eval_accuracy"]


def _left_by(session: Session, version: Version, *, family: str) -> list[tuple[str, str]]:
    """Artifact and file of the weights that a run left: of the adapter, and of a backbone that it tuned."""
    adapter = get_adapter(session, version)
    left = [(adapter.artifact, WEIGHTS_FILE)]
    if adapter.base != family:
        left.append((spec_from_json(get_base(session, adapter.base).spec).backbone_artifact, BACKBONE_WEIGHTS))
    return left


def _weights_of(artifacts: ArtifactStore, left: Sequence[tuple[str, str]]) -> list[Path]:
    return [artifacts.fetch(artifact) / name for artifact, name in left]


def compare_weights(then: Sequence[Path], now: Sequence[Path]) -> tuple[bool, float | None]:
    """Whether the safetensors files are the same bytes, and the largest difference between two numbers of equal place.

    The difference is None where the files hold other tensors, or there are more of them.
    """
    if len(then) != len(now):
        return False, None
    compared = [_compare_files(one, other) for one, other in zip(then, now, strict=True)]
    largest = [difference for _, difference in compared]
    known = [difference for difference in largest if difference is not None]
    return all(same for same, _ in compared), max(known) if len(known) == len(largest) else None


def _compare_files(then: Path, now: Path) -> tuple[bool, float | None]:
    if then.read_bytes() == now.read_bytes():
        return True, 0.0
    old, new = load_file(then), load_file(now)
    if {name: value.shape for name, value in old.items()} != {name: value.shape for name, value in new.items()}:
        return False, None
    return False, max((float(np.abs(old[name] - new[name]).max(initial=0.0)) for name in old), default=0.0)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Lines of the environment that are not the same now; what was trained is not of the environment."""
    before = {name: value for name, value in then.items() if name in now}
    old, new = environment_lines(before), environment_lines(now)
    return {
        name: (old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)
    }


def _set_threads(environment: Mapping[str, Any]) -> None:
    """As many as then: sums are split among them."""
    import torch

    torch.set_num_threads(int(environment["threads"]["torch"]))


def _short(name: Sequence[str] | str) -> str:
    kind, _, digest = str(name).rpartition("/")
    return f"{kind}/{digest[:12]}" if kind else digest[:12]

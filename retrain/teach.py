"""From rows to trained weights: the one way, for a run and for its reproduction."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.base import read_spec
from engine.engine import Engine
from retrain.augment import Augmentation, augment_rows
from retrain.dataset import Row
from retrain.features import FeatureCache
from retrain.imbalance import inverse_frequency_weights, oversample
from retrain.replay import replay
from retrain.shortage import available_memory, free_disk, needs_of, size_of_folder, told_shortage
from retrain.strategy import OWN_GRAPH, TrainingPlan
from retrain.trained import Trained, TrainedFolder
from store.artifacts import ArtifactStore
from store.errors import Refused


def train_on_rows(
    artifacts: ArtifactStore,
    bundle: Path,
    plan: TrainingPlan,
    rows: Sequence[Row],
    *,
    start: Mapping[str, Any] | None,
    features: Path,
    work: Path,
    on_step: Callable[[int, float, Mapping[str, float]], None],
) -> Trained:
    """Train on the training rows among `rows`, and choose on the validation rows.

    bundle: of the base. start: `environment["start"]` of the run, what it starts from and after which feedback a row
    is new to that. features: folder that keeps frozen features. work: where checkpoints lie, and what was trained, if
    this was done before. Raises Refused where nothing can be trained.
    """
    from retrain.train import Start, TrainingData, train_version  # torch is loaded only by a process that trains

    train = [row for row in rows if row.split == "train"]
    validation = [row for row in rows if row.split == "validation"]
    if not validation:
        raise Refused(f"{len(rows)} rows leave none for validation; bring at least 8 rows of a class")
    spec = read_spec(bundle)
    labels = tuple(sorted({row.label for row in rows}))
    if plan.strategy not in OWN_GRAPH and len(labels) > spec.max_labels:
        raise Refused(
            f"{len(labels)} labels do not fit base {spec.name!r}, which was exported for {spec.max_labels}; import it "
            f"under another name with --max-labels {len(labels)}, or train with strategy full"
        )
    backbone = artifacts.fetch(spec.backbone_artifact)
    taught, weights = replay(
        augment_rows(train, Augmentation(copies=plan.augment), seed=plan.seed),
        new_after_seq=None if start is None else start.get("feedback_until"),
        share=plan.replay_share,
        weight=plan.replay_weight,
        seed=plan.seed,
    )
    if plan.class_weights == "balanced":
        weights = balanced(taught, weights)
    places = oversample([row.label for row in taught], balance=plan.resample, seed=plan.seed)
    taught, weights = [taught[place] for place in places], [weights[place] for place in places]

    def features_of(texts: Sequence[str]) -> Any:
        return FeatureCache(features, Engine(bundle, slots=2, lanes=1)).of(texts, among=[row.text for row in rows])

    needs = needs_of(spec, plan, rows, backbone=backbone, folder=work)
    if TrainedFolder(work).read() is None:
        needs.require(available=available_memory(), free=free_disk(work) + size_of_folder(work))
    with told_shortage(needs):
        return train_version(
            backbone,
            spec,
            plan,
            TrainingData(taught, validation, labels, weights),
            features=features_of,
            start=None if start is None else Start(*_fetched(artifacts, start)),
            work=work,
            on_step=on_step,
        )


def balanced(rows: Sequence[Row], weights: Sequence[float]) -> list[float]:
    """What each row counts once the classes count alike, as far as `inverse_frequency_weights` goes.

    weights: what the rows count otherwise, replayed ones more than 1.
    """
    counts: dict[str, float] = {}
    for row, weight in zip(rows, weights, strict=True):
        counts[row.label] = counts.get(row.label, 0.0) + weight
    by_label = inverse_frequency_weights(counts)
    return [weight * by_label.get(row.label, 0.0) for row, weight in zip(rows, weights, strict=True)]


def _fetched(artifacts: ArtifactStore, start: Mapping[str, Any]) -> tuple[Path, Path | None]:
    backbone = start.get("backbone")
    return artifacts.fetch(start["artifact"]), None if backbone is None else artifacts.fetch(backbone)

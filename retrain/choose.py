"""The `auto` strategy: measures how near the data is to the base, then takes the advisor's advice."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.base import BaseSpec
from retrain.advice import Advice, advise
from retrain.cost import Backbone, Device, Situation
from retrain.dataset import Row
from retrain.frozen import FOLDS, frozen_accuracy
from retrain.recipe import TRAIN_SHARE

MEASURED_ROWS = 1_500
"""Rows by which similarity is measured: seconds, and its standard error is a hundredth."""


def choose_strategy(
    spec: BaseSpec,
    train: Sequence[Row],
    features: NDArray[np.float32],
    *,
    tokens: float,
    cores: int,
    device: Device = "cpu",
    memory_bytes: float | None = None,
    time_s: float | None = None,
    seed: int = 0,
) -> Advice:
    """What to train on these training rows. features: [rows, hidden], frozen; tokens: mean a row.

    A text that comes several times is measured once: held out, its copies would be known by heart.
    """
    labels = [row.label for row in train]
    first = {row.group: place for place, row in reversed(list(enumerate(train)))}
    different = sorted(first.values())
    situation = Situation(
        task="text-classification",
        rows=max(1, round(len(train) / TRAIN_SHARE)),
        classes=len(set(labels)),
        similarity=measured_similarity(features[different], [labels[place] for place in different], seed=seed),
        backbone=backbone_of(spec),
        tokens=max(1.0, tokens),
        device=device,
        cores=cores,
        time_s=time_s,
        memory_bytes=memory_bytes,
    )
    return advise(situation)


def measured_similarity(features: NDArray[np.float32], labels: Sequence[str], *, seed: int) -> float:
    """`Situation.similarity` of rows: of what the most frequent label gets wrong, the share that a linear head on
    frozen features gets right, cross-validated on MEASURED_ROWS of them. 0 where there are too few to tell.
    """
    if len(labels) < 2 * FOLDS or len(set(labels)) < 2:
        return 0.0
    chosen = np.random.default_rng(seed).permutation(len(labels))[:MEASURED_ROWS]
    asked = [labels[i] for i in chosen]
    if len(set(asked)) < 2:
        return 0.0
    accuracy = frozen_accuracy(features[chosen], asked, seed=seed).accuracy
    constant = Counter(asked).most_common(1)[0][1] / len(asked)
    return max(0.0, (accuracy - constant) / (1.0 - constant))


def backbone_of(spec: BaseSpec) -> Backbone:
    """What of an imported base decides about cost; a layer is taken to hold 12 hidden^2 parameters, as BERT's do."""
    numbers = [int(n) for layer in spec.layers for n in re.findall(r"\.(\d+)\.", layer.name)[:1]]
    layers = max(numbers, default=0) + 1
    return Backbone(
        name=spec.name,
        parameters=spec.parameters,
        embeddings=max(0, spec.parameters - 12 * layers * spec.hidden**2),
        layers=layers,
        hidden=spec.hidden,
        max_tokens=spec.max_tokens,
        lora_width=sum(layer.d_in + layer.d_out for layer in spec.layers),
        lora_targets=tuple(sorted({layer.name.rpartition(".")[2] for layer in spec.layers})),
    )

"""The recipe: learning rates, batches and epochs that trained well, and what training costs. Plain data, in one place.

Learning rates are those of MiniLM, hidden size 384 (docs/decisions/0003 and 0020 have the figures); wider backbones
want smaller ones, `REFERENCE_HIDDEN` says how they scale. The costs were measured by `benchmarks/training_cost.py`.
Trainer, advisor and the page /advisor all read these: change one here and run `make advisor`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal

Strategy = Literal["head", "lora", "partial", "full", "scratch"]
"""What of a model is trained; `scratch`, from random weights, is a baseline and never advised."""
Schedule = Literal["linear", "cosine", "step", "constant"]
LADDER: tuple[Strategy, ...] = ("head", "partial", "lora", "full")
"""What can be advised, from the one that freezes most, and costs least, to the one that freezes nothing."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Peak learning rates of AdamW by layer group, at `REFERENCE_HIDDEN`; 0 is frozen."""

    lower: float
    """Embeddings and the lower layers. Of LoRA it is the rate of the matrices beside the frozen weights."""
    middle: float
    """The upper half of the layers, or those that are trained at all."""
    head: float


RATES: Mapping[Strategy, Rates] = {
    "head": Rates(lower=0.0, middle=0.0, head=1e-2),
    "partial": Rates(lower=0.0, middle=3e-4, head=5e-3),
    "lora": Rates(lower=2e-3, middle=2e-3, head=5e-3),
    "full": Rates(lower=1e-4, middle=2e-4, head=5e-3),
    "scratch": Rates(lower=5e-4, middle=5e-4, head=5e-3),
}
REFERENCE_HIDDEN = 384
"""A backbone w times as wide takes 1/w of the head's rate and 1/w^2 of the others: 5e-5 for full at hidden size 768."""
WIDEST_HIDDEN = 1_024
"""Beyond this, rates shrink no more."""


def rates_at(strategy: Strategy, hidden: int) -> Rates:
    """Of a backbone that is `hidden` wide."""
    rates, width = RATES[strategy], max(1.0, min(hidden, WIDEST_HIDDEN) / REFERENCE_HIDDEN)
    return Rates(rates.lower / (width * width), rates.middle / (width * width), rates.head / width)


LORA_RANK = 8
PARTIAL_SHARE = 3
"""`partial` trains the top one in so many layers."""

FEW_ROWS = 5_000
"""Training rows below which an epoch has so few steps that smaller batches learn more than they cost."""
BATCH_ROWS_FEW = 16
BATCH_ROWS = 32

EPOCHS: Mapping[Strategy, int] = {"head": 20, "partial": 5, "lora": 5, "full": 5, "scratch": 5}
LEAST_STEPS = 200
"""Few rows are gone through more often, until there were so many steps ..."""
MOST_EPOCHS = 24
"""... or so many epochs."""
WARMUP_RATIO = 0.1
"""Of all steps; from 0.05 to 0.1 anything does."""
SCHEDULE: Schedule = "linear"

TRAIN_SHARE = 0.70
VALIDATION_SHARE = 0.15
"""Of all labelled rows, as `retrain/split.py` deals them out."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a device does; a device has `cores`, and a GPU counts as one."""

    train_flops_a_core: float
    """Floating point operations a second while training."""
    embed_flops_a_core: float
    """The same while frozen features are computed by the serving engine."""
    step_s: float
    """Of a core, for a step whatever it holds."""
    update_s: float
    """Of a core, a step, for each number that is trained: the optimizer and its gradients."""
    process_bytes: float
    """The process itself, libraries loaded, without weights."""


def epochs_of(strategy: Strategy, steps_an_epoch: int) -> int:
    """At most; early stopping may end sooner."""
    return max(EPOCHS[strategy], min(MOST_EPOCHS, ceil(LEAST_STEPS / steps_an_epoch)))


COSTS: Mapping[Literal["cpu", "cuda"], Costs] = {
    "cpu": Costs(49e9, 130e9, 0.0, 6.1e-9, 370 * 2.0**20),
    "cuda": Costs(10e12, 20e12, 0.03, 2e-11, 2_000 * 2.0**20),  # assumed: no GPU was at hand to measure
}
MOST_CORES = 8
"""More are not counted: nobody has tried how far small batches spread."""
START_S = 10.0
"""Libraries, weights and the data, before the first step."""
ACTIVATION_BYTES = 157.0
"""Kept for the way back, for each token, layer that gradients reach, and unit of the hidden size."""
PEAK_TOKENS = 3
"""The longest batch has so many times the mean tokens a row."""

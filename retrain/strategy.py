"""What a run trains, and how: the plan, as plain data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.base import BaseSpec
from store.errors import BadInput, Refused

TRAINABLE = ("lora",)
"""Strategies that can be trained so far; `auto` picks among them."""

FEW_ROWS = 5_000
"""Below this an epoch has so few steps that smaller batches learn more than they cost."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Learning rates were tried on MiniLM and CLINC150; docs/decisions/0003 has the figures."""

    strategy: str
    targets: tuple[str, ...]
    """Last names of the linear layers that get LoRA matrices."""
    rank: int
    alpha: int
    epochs: int
    """Most epochs; early stopping may end sooner."""
    seed: int
    batch_rows: int
    learning_rate: float = 2e-3
    head_learning_rate: float = 5e-3
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    lora_dropout: float = 0.05
    patience: int = 3
    """Epochs without a better validation loss before training stops."""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "targets": list(self.targets)}


def plan_from_json(recorded: Mapping[str, Any]) -> TrainingPlan:
    """What `as_dict` wrote. Raises Refused for a plan of another release, whose fields mean something else."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items()
    }
    try:
        return TrainingPlan(**values)
    except TypeError as error:
        raise Refused(f"the recorded plan is not one of this driftgate: {error}; train anew") from None


def plan_training(
    spec: BaseSpec, strategy: str, overrides: Mapping[str, Any], *, rows: int, epochs: int, seed: int
) -> TrainingPlan:
    """The plan for `strategy` on a base and `rows` training rows; `overrides` are fields of TrainingPlan.

    Raises Refused for a strategy that cannot be trained, BadInput for an override that is none.
    """
    chosen = "lora" if strategy == "auto" else strategy
    if chosen not in TRAINABLE:
        raise Refused(f"strategy {strategy!r} cannot be trained yet; use one of auto, {', '.join(TRAINABLE)}")
    known = {field.name for field in fields(TrainingPlan)} - {"strategy"}
    for name in overrides:
        if name not in known:
            raise BadInput(f"no training parameter {name!r}; there are {', '.join(sorted(known))}", where=name)
    rank = min(8, spec.max_rank)
    defaults: dict[str, Any] = {
        "targets": tuple(sorted({layer.name.rpartition(".")[2] for layer in spec.layers})),
        "rank": rank,
        "alpha": 2 * rank,
        "epochs": epochs,
        "seed": seed,
        "batch_rows": 16 if rows < FEW_ROWS else 32,
    }
    merged = {**defaults, **overrides}
    plan = TrainingPlan(strategy=chosen, **{**merged, "targets": tuple(merged["targets"])})
    if not 1 <= plan.rank <= spec.max_rank:
        raise BadInput(f"rank {plan.rank} does not fit base {spec.name!r}, which takes 1 to {spec.max_rank}")
    return plan

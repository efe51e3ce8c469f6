"""What a run trains, and how: the plan, as plain data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from engine.base import BaseSpec
from retrain.recipe import (
    BATCH_ROWS,
    BATCH_ROWS_FEW,
    FEW_ROWS,
    LORA_RANK,
    SCHEDULE,
    WARMUP_RATIO,
    Schedule,
    Strategy,
    epochs_of,
    rates_at,
)
from store.errors import BadInput, Refused

TRAINABLE: tuple[Strategy, ...] = ("head", "lora", "partial", "full")
"""What may become a version; `scratch` (random weights) is a baseline only."""
OWN_GRAPH: frozenset[Strategy] = frozenset(("partial", "full", "scratch"))
"""Strategies that change the backbone itself, so that what they make cannot share the base's graph."""

ClassWeights = Literal["none", "balanced"]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What `retrain.recipe` says, unless somebody overruled it."""

    strategy: Strategy
    targets: tuple[str, ...]
    """Last names of the linear layers that get LoRA matrices."""
    rank: int
    alpha: int
    epochs: int
    """Most epochs; early stopping may end sooner."""
    seed: int
    batch_rows: int
    learning_rate: float
    """Highest rate of the upper half of the layers, or of LoRA's matrices in it."""
    lower_learning_rate: float
    """The same of the embeddings and the lower half (discriminative rates: Howard and Ruder 2018, arXiv:1801.06146)."""
    head_learning_rate: float
    rows_at_once: int | None = None
    """Rows that are in memory together, of which `batch_rows` is a multiple: gradients add up until a batch is full.
    None for all of a batch."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023, arXiv:2312.03732)."""
    tuned_layers: int | None = None
    """Layers that `partial` trains, from the top; None for the recipe's share of them."""
    gradual: bool = False
    """Unfreeze in stages, from the head down; a stage that does not help on validation is taken back."""
    schedule: Schedule = SCHEDULE
    warmup_ratio: float = WARMUP_RATIO
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    lora_dropout: float = 0.05
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    """Above 0: focal loss (Lin et al. 2017, arXiv:1708.02002), for classes of very unequal size."""
    class_weights: ClassWeights = "none"
    resample: float = 0.0
    """How far rows of rare classes are repeated (retrain.imbalance): 0 not at all, 1 until all classes are alike."""
    augment: int = 0
    """Varied copies of each training text (retrain.augment)."""
    replay_share: float = 1.0
    """Of the old training rows, the share that a retraining sees again."""
    replay_weight: float = 1.0
    """What they count together, in parts of what all old rows would."""
    patience: int = 3
    """Epochs without a better validation loss before training stops."""
    validate_steps: int = 100
    """Steps between looks at a part of the validation rows, for the curve; the whole is looked at after each epoch."""

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
    spec: BaseSpec, strategy: str, overrides: Mapping[str, Any], *, rows: int, epochs: int | None, seed: int
) -> TrainingPlan:
    """The plan for `strategy` on a base and `rows` training rows; `overrides` are fields of TrainingPlan.

    epochs: at most; None for as many as the recipe says.
    Raises Refused for a strategy that cannot be trained, BadInput for an override that is none or has no such value.
    """
    chosen = _strategy(strategy)
    known = {field.name: field.type for field in fields(TrainingPlan) if field.name != "strategy"}
    for name in overrides:
        if name not in known:
            raise BadInput(f"no training parameter {name!r}; there are {', '.join(sorted(known))}", where=name)
    rank = min(LORA_RANK, spec.max_rank)
    rates = rates_at(chosen, spec.hidden)
    batch_rows = BATCH_ROWS_FEW if rows < FEW_ROWS else BATCH_ROWS
    defaults: dict[str, Any] = {
        "targets": tuple(sorted({layer.name.rpartition(".")[2] for layer in spec.layers})),
        "rank": rank,
        "alpha": 2 * rank,
        "epochs": epochs or epochs_of(chosen, -(-rows // batch_rows)),
        "seed": seed,
        "batch_rows": batch_rows,
        "learning_rate": rates.middle,
        "lower_learning_rate": rates.lower,
        "head_learning_rate": rates.head,
    }
    merged = {**defaults, **overrides}
    _check_types(merged)
    plan = TrainingPlan(strategy=chosen, **{**merged, "targets": tuple(merged["targets"])})
    _check(plan, spec)
    return plan


def _strategy(name: str) -> Strategy:
    known: tuple[Strategy, ...] = get_args(Strategy)
    for strategy in known:
        if strategy == name:
            return strategy
    raise Refused(f"there is no strategy {name!r}; use one of auto, {', '.join(TRAINABLE)}")


_WHOLE = ("rank", "alpha", "epochs", "seed", "batch_rows", "patience", "validate_steps", "augment")
_WHOLE_OR_NONE = ("tuned_layers", "rows_at_once")
_YES_OR_NO = ("rslora", "gradual")


def _check_types(values: Mapping[str, Any]) -> None:
    """Raises BadInput for what is no value of that kind; bounds are another question."""
    wanted: dict[str, tuple[tuple[type, ...], str]] = {
        **dict.fromkeys(_YES_OR_NO, ((bool,), "true or false")),
        **dict.fromkeys(_WHOLE, ((int,), "a whole number")),
        **dict.fromkeys(_WHOLE_OR_NONE, ((int, type(None)), "a whole number or null")),
    }
    for name, (kinds, said) in wanted.items():
        if name in values and type(values[name]) not in kinds:
            raise BadInput(f"{name} is {values[name]!r}; it must be {said}", where=name)
    targets = values["targets"]
    if not isinstance(targets, list | tuple) or not targets or not all(isinstance(target, str) for target in targets):
        raise BadInput(
            f'targets is {targets!r}; it must be a list of names, such as ["query", "value"]', where="targets"
        )


def _check(plan: TrainingPlan, spec: BaseSpec) -> None:
    if not 1 <= plan.rank <= spec.max_rank:
        raise BadInput(f"rank {plan.rank} does not fit base {spec.name!r}, which takes 1 to {spec.max_rank}")
    known = {layer.name.rpartition(".")[2] for layer in spec.layers}
    if strange := set(plan.targets) - known:
        raise BadInput(
            f"base {spec.name!r} was not exported for {', '.join(sorted(strange))}; it has {', '.join(sorted(known))}",
            where="targets",
        )
    for name, allowed in (("schedule", get_args(Schedule)), ("class_weights", get_args(ClassWeights))):
        value = getattr(plan, name)
        if value not in allowed:
            raise BadInput(f"{name} is {value!r}; it must be one of {', '.join(allowed)}", where=name)
    bounds: dict[str, tuple[float, float]] = {
        **{name: (1, 4_096) for name in _WHOLE_OR_NONE if getattr(plan, name) is not None},
        "alpha": (1, 4_096),
        "gradient_clip": (0.0, 1e6),
        "augment": (0, 20),
        "epochs": (1, 1_000),
        "batch_rows": (1, 4_096),
        "patience": (1, 1_000),
        "validate_steps": (1, 1_000_000),
        "warmup_ratio": (0.0, 1.0),
        "label_smoothing": (0.0, 0.9),
        "replay_share": (0.0, 1.0),
        "replay_weight": (0.0, 100.0),
        "lora_dropout": (0.0, 0.9),
        "focal_gamma": (0.0, 10.0),
        "resample": (0.0, 1.0),
        "weight_decay": (0.0, 1.0),
        "learning_rate": (0.0, 1.0),
        "lower_learning_rate": (0.0, 1.0),
        "head_learning_rate": (0.0, 1.0),
    }
    for name, (least, most) in bounds.items():
        value = getattr(plan, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise BadInput(f"{name} is {value!r}; it must lie between {least:g} and {most:g}", where=name)
    if plan.rows_at_once is not None and plan.batch_rows % plan.rows_at_once:
        raise BadInput(
            f"rows_at_once is {plan.rows_at_once}; it must divide batch_rows, which is {plan.batch_rows}",
            where="rows_at_once",
        )
    if plan.resample and plan.class_weights != "none":
        raise BadInput(
            f"resample is {plan.resample:g} and class_weights is {plan.class_weights!r}: rare classes would count twice"
            "; set one of them",
            where="resample",
        )

"""Gradual unfreezing: which layers learn in which stage (Howard and Ruder 2018, arXiv:1801.06146)."""

from dataclasses import dataclass

from retrain.recipe import PARTIAL_SHARE
from retrain.strategy import TrainingPlan


@dataclass(frozen=True, slots=True)
class Stage:
    top_layers: int
    """Layers of the backbone that learn, from the top; none in the first stage, where the head learns alone."""
    whole: bool
    """Whether everything below them learns as well, embeddings included."""
    epochs: int


def tuned_layers(plan: TrainingPlan, *, layers: int) -> int:
    """Layers that learn at the end of a training of `plan`, on a backbone of `layers` layers."""
    if plan.strategy != "partial":
        return layers
    return min(layers, plan.tuned_layers or max(1, layers // PARTIAL_SHARE))


def plan_stages(plan: TrainingPlan, *, layers: int) -> list[Stage]:
    """The stages of a training; one, unless `plan.gradual`.

    Gradually: the head, then a third more of the layers that are to learn in each stage. The stages share the epochs,
    of which what is left over goes to the last; where there are fewer epochs than stages, stages are left out, from
    the head on.
    """
    deepest = tuned_layers(plan, layers=layers)
    everything = plan.strategy in ("full", "scratch")
    if not plan.gradual:
        return [Stage(deepest, everything, plan.epochs)]
    depths = sorted({-(-deepest * third // 3) for third in range(4)})[-plan.epochs :]
    epochs, left = divmod(plan.epochs, len(depths))
    return [
        Stage(depth, everything and depth == deepest, epochs + (left if depth == deepest else 0)) for depth in depths
    ]

"""AdamW with a learning rate for each depth of the model, and the schedule that raises and lowers them."""

import re
from math import cos, pi

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from retrain.recipe import Schedule
from retrain.strategy import TrainingPlan

_STEP_FALLS = (0.5, 0.75)
"""Shares of the training at which the `step` schedule falls to a tenth."""


def make_optimizer(model: nn.Module, plan: TrainingPlan, *, layers: int) -> torch.optim.AdamW:
    """AdamW over what `model` trains. layers: of the backbone, of which the lower half has a rate of its own.

    Biases and norms are not decayed.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = learning_rate_of(name, plan, layers=layers), parameter.dim() > 1
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "weight_decay": plan.weight_decay if decayed else 0.0}
            for (rate, decayed), parameters in groups.items()
        ]
    )


def learning_rate_of(name: str, plan: TrainingPlan, *, layers: int) -> float:
    """The highest rate of a parameter, by its name in the model."""
    if "classifier" in name:
        return plan.head_learning_rate
    upper = depth_of(name, layers=layers) > layers - layers // 2
    return plan.learning_rate if upper or plan.strategy == "partial" else plan.lower_learning_rate


def depth_of(name: str, *, layers: int) -> int:
    """0 for the embeddings, i for the i-th of `layers` layers, counted from 1; what follows the last counts with it."""
    if "embeddings" in name:
        return 0
    numbered = re.search(r"\.layers?\.(\d+)\.|\.h\.(\d+)\.", name)
    return layers if numbered is None else int(numbered[1] or numbered[2]) + 1


def make_schedule(optimizer: torch.optim.Optimizer, plan: TrainingPlan, *, steps: int) -> LambdaLR:
    """Every group's rate, times the schedule's factor."""
    return LambdaLR(optimizer, lambda step: rate_factor(step, steps, plan.schedule, warmup_ratio=plan.warmup_ratio))


def rate_factor(step: int, steps: int, schedule: Schedule, *, warmup_ratio: float) -> float:
    """Share of the highest rate at `step` of `steps`: a straight rise over the warm-up, then the schedule's fall."""
    warm_up = round(steps * warmup_ratio)
    if step < warm_up:
        return step / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    if schedule == "linear":
        return max(0.0, 1 - done)
    if schedule == "cosine":
        return 0.5 * (1 + cos(pi * min(1.0, done)))
    if schedule == "step":
        return float(0.1 ** sum(done >= fall for fall in _STEP_FALLS))
    return 1.0

"""What training minimises, row by row; how much each row counts is its weight, not the loss's affair."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from retrain.strategy import TrainingPlan

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""Logits [rows, classes] and true classes [rows] to the losses [rows]."""


def row_loss(plan: TrainingPlan) -> RowLoss:
    """The loss that `plan` asks for: cross-entropy, smoothed or not, or focal."""
    if plan.focal_gamma > 0:
        return lambda logits, true: focal_losses(logits, true, gamma=plan.focal_gamma)
    return lambda logits, true: cross_entropy(logits, true, label_smoothing=plan.label_smoothing, reduction="none")


def focal_losses(logits: Tensor, true: Tensor, *, gamma: float) -> Tensor:
    """(1 - p)^gamma * -log p, p being the true class's probability (Lin et al. 2017, arXiv:1708.02002)."""
    log_p = torch.log_softmax(logits, dim=-1).gather(-1, true.unsqueeze(-1)).squeeze(-1)
    return (1 - log_p.exp()).pow(gamma) * -log_p


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """losses, weights: [rows]; without weights every row counts the same.

    Weights are 1 in the mean over all rows (retrain.fitting), not over these: a batch of heavy rows counts more.
    """
    return losses.mean() if weights is None else (losses * weights).mean()

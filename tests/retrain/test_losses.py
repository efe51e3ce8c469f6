"""Losses by row: against torch's own, and what focal loss is for."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from retrain.losses import focal_losses, row_loss, weighted_mean
from retrain.strategy import TrainingPlan, plan_training
from tests.conftest import ImportedBase


@pytest.fixture
def plan(tiny: ImportedBase) -> TrainingPlan:
    return plan_training(tiny.spec, "full", {}, rows=100, epochs=1, seed=0)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(40, 5, generator=generator), torch.randint(0, 5, (40,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mean_is_that_of_torch(plan: TrainingPlan, smoothing: float) -> None:
    logits, true = batch()
    losses = row_loss(replace(plan, label_smoothing=smoothing))(logits, true)
    torch.testing.assert_close(losses.mean(), cross_entropy(logits, true, label_smoothing=smoothing))


def test_weights_by_class_are_those_of_torch(plan: TrainingPlan) -> None:
    logits, true = batch()
    by_class = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.1])
    weights = by_class[true] / by_class[true].mean()
    ours = weighted_mean(row_loss(plan)(logits, true), weights)
    torch.testing.assert_close(ours, cross_entropy(logits, true, weight=by_class))


def test_a_row_counts_the_same_whatever_shares_its_batch(plan: TrainingPlan) -> None:
    logits, true = batch()
    losses, weights = row_loss(plan)(logits, true), torch.tensor([0.0, 2.0] * 20)
    alone = [weighted_mean(losses[i : i + 1], weights[i : i + 1]) for i in range(40)]
    torch.testing.assert_close(torch.stack(alone).mean(), weighted_mean(losses, weights))


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    logits, true = batch()
    torch.testing.assert_close(focal_losses(logits, true, gamma=0.0), cross_entropy(logits, true, reduction="none"))


def test_focal_loss_turns_to_rows_that_are_answered_wrongly(plan: TrainingPlan) -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0]])  # the first is right, the second wrong
    true = torch.tensor([0, 0])
    plain, focal = (row_loss(replace(plan, focal_gamma=gamma))(logits, true) for gamma in (0.0, 2.0))
    assert focal[0] / plain[0] < 0.001
    assert focal[1] / plain[1] > 0.9

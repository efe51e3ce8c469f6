"""Learning rates: by depth, and over the steps."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from retrain.backbone import PooledClassifier, encoder_layers, load_backbone
from retrain.optimizer import depth_of, make_optimizer, make_schedule, rate_factor
from retrain.recipe import Schedule
from retrain.strategy import plan_training
from tests.conftest import ImportedBase

SCHEDULES = st.sampled_from(("linear", "cosine", "step", "constant"))


@pytest.fixture
def classifier(tiny: ImportedBase) -> PooledClassifier:
    return PooledClassifier(load_backbone(tiny.source), tiny.spec.pooling, 3)


def test_rates_fall_from_the_head_to_the_embeddings(classifier: PooledClassifier, tiny: ImportedBase) -> None:
    plan = plan_training(
        tiny.spec, "full", {"lower_learning_rate": 1e-4, "learning_rate": 1e-3}, rows=9, epochs=1, seed=0
    )
    optimizer = make_optimizer(classifier, plan, layers=2)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    backbone = classifier.backbone
    found = [
        rate[id(next(module.parameters()))]
        for module in (backbone.get_input_embeddings(), *encoder_layers(backbone), classifier.classifier)
    ]
    assert found == [1e-4, 1e-4, 1e-3, plan.head_learning_rate]


def test_every_parameter_that_learns_is_in_one_group(classifier: PooledClassifier, tiny: ImportedBase) -> None:
    classifier.backbone.requires_grad_(False)
    plan = plan_training(tiny.spec, "partial", {}, rows=9, epochs=1, seed=0)
    grouped = [p for group in make_optimizer(classifier, plan, layers=2).param_groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in classifier.classifier.parameters()}
    assert len(grouped) == 2


def test_biases_and_norms_are_not_decayed(classifier: PooledClassifier, tiny: ImportedBase) -> None:
    plan = plan_training(tiny.spec, "full", {"weight_decay": 0.1}, rows=9, epochs=1, seed=0)
    for group in make_optimizer(classifier, plan, layers=2).param_groups:
        assert {p.dim() > 1 for p in group["params"]} == {group["weight_decay"] > 0}


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("bert.embeddings.word_embeddings.weight", 0),
        ("bert.encoder.layer.0.attention.self.query.lora_A.default.weight", 1),
        ("bert.encoder.layer.5.output.dense.bias", 6),
        ("model.layers.3.attn.Wqkv.weight", 4),
        ("bert.pooler.dense.weight", 6),
    ],
)
def test_depth_is_read_from_the_name(name: str, depth: int) -> None:
    assert depth_of(name, layers=6) == depth


@given(schedule=SCHEDULES, steps=st.integers(1, 500), warmup=st.floats(0, 0.5))
def test_a_rate_rises_over_the_warm_up_and_never_afterwards(schedule: Schedule, steps: int, warmup: float) -> None:
    factors = [rate_factor(step, steps, schedule, warmup_ratio=warmup) for step in range(steps + 1)]
    warm_up = round(steps * warmup)
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[: warm_up + 1] == sorted(factors[: warm_up + 1])
    assert factors[warm_up:] == sorted(factors[warm_up:], reverse=True)
    assert factors[warm_up] == 1.0 or warm_up == steps


@given(steps=st.integers(10, 500), schedule=st.sampled_from(("linear", "cosine")))
def test_linear_and_cosine_end_at_nothing(schedule: Schedule, steps: int) -> None:
    assert rate_factor(steps, steps, schedule, warmup_ratio=0.1) == pytest.approx(0.0, abs=1e-9)


def test_the_schedule_keeps_the_ratio_between_groups(tiny: ImportedBase) -> None:
    plan = plan_training(tiny.spec, "full", {}, rows=9, epochs=1, seed=0)
    module = nn.Linear(2, 2)
    groups = [{"params": [module.weight], "lr": 1.0}, {"params": [module.bias], "lr": 0.1}]
    schedule = make_schedule(torch.optim.AdamW(groups), replace(plan, warmup_ratio=0.0), steps=4)
    schedule.optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.75, 0.075])

"""The advisor's decision: what an expert would expect of it, whatever the figures."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.advice import Advice, advise
from retrain.cost import Situation
from retrain.matrix import MODELS, TASKS
from retrain.recipe import LADDER
from store.errors import BadInput

MINILM = MODELS["all-MiniLM-L6-v2"].backbone
FREE = Situation("text-classification", 2_000, 10, 0.7, MINILM, 24.0, "cpu", 2)

situations = st.builds(
    Situation,
    task=st.sampled_from(sorted(TASKS)),
    rows=st.integers(1, 3_000_000),
    classes=st.integers(1, 500),
    similarity=st.floats(0, 1),
    backbone=st.sampled_from([model.backbone for model in MODELS.values()]),
    tokens=st.floats(1, 10_000),
    device=st.sampled_from(["cpu", "cuda"]),
    cores=st.integers(1, 64),
    time_s=st.none() | st.floats(1, 1e6),
    memory_bytes=st.none() | st.floats(1e8, 1e12),
)


def rung(advice: Advice) -> int:
    return LADDER.index(advice.strategy)


@given(situations, st.integers(1, 3_000_000))
def test_more_rows_never_freeze_more_where_no_budget_binds(situation: Situation, more: int):
    free = replace(situation, time_s=None, memory_bytes=None)
    assert rung(advise(free)) <= rung(advise(replace(free, rows=free.rows + more)))


@given(situations, st.floats(0, 1))
def test_nearer_data_never_frees_more(situation: Situation, other: float):
    free = replace(situation, time_s=None, memory_bytes=None)
    near, far = max(free.similarity, other), min(free.similarity, other)
    assert rung(advise(replace(free, similarity=near))) <= rung(advise(replace(free, similarity=far)))


@given(situations, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_tighter_budget_never_chooses_what_is_dearer(situation: Situation, time: float, memory: float):
    before = advise(situation)
    tighter = replace(
        situation,
        time_s=(situation.time_s or 1e6) * time,
        memory_bytes=(situation.memory_bytes or 1e12) * memory,
    )
    after = advise(tighter)
    assert rung(after) <= rung(before)
    if after.strategy == before.strategy:
        assert after.seconds <= before.seconds
        assert after.bytes <= before.bytes


@given(situations)
def test_what_is_advised_fits_the_budget_or_nothing_would(situation: Situation):
    advice = advise(situation)
    within = (situation.time_s is None or advice.seconds <= situation.time_s) and (
        situation.memory_bytes is None or advice.bytes <= situation.memory_bytes
    )
    assert advice.fits == within
    if not advice.fits:
        assert advice.strategy == "head"
        assert advice.why[2].startswith("Nothing fits into ")
        assert "allow that much" in advice.why[2]


@given(situations)
def test_lower_layers_never_learn_faster_than_those_above_them(situation: Situation):
    lower, middle, head = (group.learning_rate for group in advise(situation).groups)
    assert 0 <= lower <= middle <= head
    assert head > 0


@given(situations)
def test_the_warm_up_is_5_to_10_percent_of_the_steps_where_there_are_ten(situation: Situation):
    advice = advise(situation)
    if advice.total_steps >= 10:
        assert 0.05 <= advice.warmup_steps / advice.total_steps <= 0.10
    else:
        assert advice.warmup_steps == 1


@given(situations)
def test_every_strategy_is_advised_or_has_its_clause(situation: Situation):
    advice = advise(situation)
    assert set(advice.rejected) == {*LADDER, "scratch"} - {advice.strategy}
    assert all(advice.rejected.values())
    assert len(advice.why) == 3
    assert all(sentence.endswith(".") and not sentence[0].islower() for sentence in advice.why)


@given(situations)
def test_what_is_said_to_be_frozen_is_what_has_no_rate(situation: Situation):
    advice = advise(situation)
    if advice.strategy == "lora":
        assert (advice.rank, advice.alpha) == (8, 16)
        assert advice.targets == situation.backbone.lora_targets
    else:
        assert advice.rank == 0
        frozen = len(advice.frozen_layers)
        assert (advice.groups[1].learning_rate == 0) == (frozen == situation.backbone.layers)
        assert (advice.groups[0].learning_rate == 0) == advice.embeddings_frozen


@pytest.mark.parametrize(
    ("rows", "similarity", "strategy"),
    [(20, 0.95, "head"), (2_000, 1.0, "head"), (2_000, 0.7, "lora"), (21_400, 0.95, "lora"), (300_000, 0.2, "full")],
)
def test_the_tales_of_an_expert(rows: int, similarity: float, strategy: str):
    assert advise(replace(FREE, rows=rows, similarity=similarity)).strategy == strategy


def test_the_advice_is_the_recipe_that_was_tuned_for_minilm():
    few, many = advise(FREE), advise(replace(FREE, rows=20_000))
    assert [group.learning_rate for group in few.groups] == [2e-3, 2e-3, 5e-3]
    assert (few.batch_rows, many.batch_rows) == (16, 32)
    assert few.targets == ("query", "value")


def test_a_wider_backbone_learns_more_slowly():
    rates = advise(replace(FREE, backbone=MODELS["bert-base-uncased"].backbone)).groups
    assert [group.learning_rate for group in rates] == [5e-4, 5e-4, 2.5e-3]


def test_a_base_without_layers_for_lora_trains_its_top_layers():
    advice = advise(replace(FREE, task="image-classification", backbone=MODELS["resnet-50"].backbone))
    assert advice.strategy == "partial"
    assert advice.rejected["lora"] == "the base has no linear layers that LoRA could change"


def test_what_a_budget_forbids_is_named_with_its_price():
    asked = replace(FREE, rows=20_000, time_s=600.0, backbone=MODELS["roberta-base"].backbone)
    advice = advise(asked)
    assert advice.strategy == "head"
    assert advice.why[1].startswith("LoRA would be the choice but needs ")
    assert advice.rejected["lora"].endswith("more than 10 min")


def test_short_memory_takes_fewer_rows_at_once_before_it_gives_the_strategy_up():
    advice = advise(replace(FREE, memory_bytes=550 * 2.0**20))
    assert advice.strategy == "lora"
    assert advice.rows_at_once < advice.batch_rows
    assert any(note.startswith("Memory holds ") for note in advice.notes)


def test_short_time_takes_fewer_epochs_before_it_gives_the_strategy_up():
    free = advise(FREE)
    advice = advise(replace(FREE, time_s=free.seconds * 0.7))
    assert advice.strategy == "lora"
    assert advice.epochs < free.epochs
    assert f"instead of {free.epochs}" in advice.why[2]


@pytest.mark.parametrize(
    ("field", "value"),
    [("rows", 0), ("classes", 0), ("tokens", 0.0), ("similarity", 1.1), ("similarity", float("nan")), ("time_s", -1.0)],
)
def test_a_figure_that_cannot_be_is_named(field: str, value: float):
    with pytest.raises(BadInput, match=field):
        replace(FREE, **{field: value})

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.limits import (
    DISK_MARGIN_BYTES,
    PEAK_RATIO,
    Backbone,
    Demand,
    disk_needed,
    memory_needed,
    read_backbone,
    settings_that_fit,
    told_fits,
    trained_numbers,
)

MINILM = Backbone(parameters=22_713_216, hidden=384, layers=6, heads=12, intermediate=1536)
TRAINED = {"head": 5_775, "lora": 79_503, "partial": 5_775, "full": 22_718_991, "scratch": 22_718_991}
STRATEGIES = st.sampled_from(sorted(TRAINED))
DEMANDS = st.builds(
    Demand,
    strategy=STRATEGIES,
    rows_at_once=st.integers(1, 512),
    trained=st.just(TRAINED),
    longest_tokens=st.integers(1, 512),
)
BYTES = st.integers(0, 10**11)


@pytest.mark.parametrize(
    ("strategy", "rows_at_once", "tokens", "measured_mb"),
    [
        ("lora", 16, 32, 301),
        ("lora", 16, 128, 998),
        ("lora", 32, 256, 4979),
        ("full", 16, 128, 1224),
        ("full", 8, 32, 538),
    ],
)
def test_the_floor_lies_below_what_was_measured_and_the_recommended_room_above(
    strategy, rows_at_once, tokens, measured_mb
):
    floor = memory_needed(MINILM, Demand(strategy, rows_at_once, TRAINED, tokens)) / 1e6
    assert floor < measured_mb < PEAK_RATIO * floor


@given(demand=DEMANDS, more=st.integers(1, 100))
def test_more_rows_or_longer_texts_never_need_less(demand, more):
    needed = memory_needed(MINILM, demand)
    assert memory_needed(MINILM, replace(demand, rows_at_once=demand.rows_at_once + more)) >= needed
    assert memory_needed(MINILM, replace(demand, longest_tokens=demand.longest_tokens + more)) >= needed


@given(demand=DEMANDS)
def test_what_trains_less_needs_less(demand):
    needs = [memory_needed(MINILM, replace(demand, strategy=name)) for name in ("head", "lora", "full")]
    assert needs == sorted(needs)
    disks = [disk_needed(replace(demand, strategy=name)) for name in ("head", "lora", "full")]
    assert DISK_MARGIN_BYTES < disks[0] < disks[1] < disks[2]


@given(demand=DEMANDS, available=BYTES)
def test_what_is_recommended_fits_and_is_no_heavier_than_what_was_asked(demand, available):
    fits = settings_that_fit(MINILM, demand, available)
    assert all(PEAK_RATIO * memory_needed(MINILM, fit) <= available for fit in fits)
    assert all(memory_needed(MINILM, fit) <= memory_needed(MINILM, demand) for fit in fits)
    assert len({fit.strategy for fit in fits}) == len(fits), "one line for each strategy"
    for fit in fits:
        assert demand.rows_at_once % fit.rows_at_once == 0
        larger = range(fit.rows_at_once + 1, demand.rows_at_once + 1)
        next_one = next((rows for rows in larger if demand.rows_at_once % rows == 0), None)
        if next_one is not None:
            assert PEAK_RATIO * memory_needed(MINILM, replace(fit, rows_at_once=next_one)) > available, next_one


@given(demand=DEMANDS, available=BYTES, more=BYTES)
def test_with_more_memory_no_recommendation_is_lost(demand, available, more):
    fewer = {fit.strategy for fit in settings_that_fit(MINILM, demand, available)}
    assert fewer <= {fit.strategy for fit in settings_that_fit(MINILM, demand, available + more)}


def test_recommendations_name_what_to_change():
    asked = Demand("full", 32, TRAINED, 256)
    assert told_fits(MINILM, settings_that_fit(MINILM, asked, 2 * 10**9), asked) == (
        "these would fit: rows_at_once 4 (about 1.4 GB), strategy lora with rows_at_once 8 (about 1.5 GB), "
        "strategy head (about 1 MB)"
    )
    assert told_fits(MINILM, [], asked).startswith("no setting needs little enough")


def test_shapes_are_read_whatever_the_architecture_calls_them():
    bert = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    distilbert = {"dim": 384, "n_layers": 6, "n_heads": 12, "hidden_dim": 1536}
    assert read_backbone(bert, parameters=22_713_216) == read_backbone(distilbert, parameters=22_713_216) == MINILM
    with pytest.raises(KeyError):
        read_backbone({"embed_dims": [1, 2]}, parameters=1)


def test_lora_is_counted_as_peft_makes_it(tiny):
    spec = tiny.spec
    counted = trained_numbers(spec, rank=4, labels=3)
    lora = sum(4 * (layer.d_in + layer.d_out) for layer in spec.layers)
    assert counted["lora"] == counted["head"] + lora == 3 * (spec.hidden + 1) + lora
    assert counted["full"] == spec.parameters + counted["head"]

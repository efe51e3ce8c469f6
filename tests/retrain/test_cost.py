"""What a training will take, against what is known of some that were run."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.cost import Situation, estimate, trained_numbers
from retrain.matrix import MODELS
from retrain.recipe import LADDER, START_S

MINILM = MODELS["all-MiniLM-L6-v2"].backbone
CLINC150 = Situation("text-classification", 21_428, 150, 0.95, MINILM, 10.6, "cpu", 2)
strategies = st.sampled_from(LADDER)
several = st.integers(1, 30)


@pytest.mark.parametrize(("strategy", "seconds"), [("lora", 79), ("full", 145)])
def test_an_epoch_of_clinc150_takes_what_it_took(strategy, seconds):
    """15,000 rows to train on; the figures of an epoch with its evaluation on 2 cores (decision 0020)."""
    took = estimate(CLINC150, strategy, epochs=1, rows_at_once=32).seconds - START_S
    assert took == pytest.approx(seconds, rel=0.15)


def test_parameters_are_counted_as_peft_counts_them():
    """73,728 in the matrices of rank 8 on query and value, and (384 + 1) x 14 in the head: what runs report."""
    assert trained_numbers(MINILM, "lora", 14) == 79_118


@given(strategies, several, several, st.integers(1, 10**6), st.integers(1, 10**6))
def test_estimates_grow_with_rows_and_epochs(strategy, epochs, more_epochs, rows, more_rows):
    def cost(rows, epochs):
        situation = replace(CLINC150, rows=rows)
        return estimate(situation, strategy, epochs=epochs, rows_at_once=8)

    few, many = cost(rows, epochs), cost(rows + more_rows, epochs)
    if rows >= 7_200 or rows + more_rows < 7_100:  # from 5,000 training rows on a batch is twice as large
        assert few.seconds <= many.seconds
    assert few.bytes <= many.bytes
    assert few.seconds < cost(rows, epochs + more_epochs).seconds


@given(strategies, st.integers(1, 48), st.integers(1, 48), st.integers(0, 10**8))
def test_estimates_grow_with_the_backbone(strategy, layers, more_layers, words):
    def cost(layers, embeddings):
        sizes = {"layers": layers, "embeddings": embeddings, "lora_width": 2 * 2 * 384 * layers}
        parameters = embeddings + 12 * layers * 384**2
        situation = replace(CLINC150, backbone=replace(MINILM, parameters=parameters, **sizes))
        return estimate(situation, strategy, epochs=3, rows_at_once=8)

    small, large, wordy = cost(layers, 0), cost(layers + more_layers, 0), cost(layers, words)
    assert small.bytes < large.bytes
    assert small.bytes <= wordy.bytes
    assert small.seconds < large.seconds


@given(st.integers(1, 10**6), st.integers(1, 500), st.integers(1, 512))
def test_what_frees_more_takes_longer_and_more_memory(rows, classes, tokens):
    situation = replace(CLINC150, rows=rows, classes=classes, tokens=float(tokens))
    costs = {one: estimate(situation, one, epochs=5, rows_at_once=16) for one in LADDER}
    assert costs["lora"].seconds < costs["full"].seconds
    assert costs["partial"].seconds < costs["full"].seconds
    assert costs["lora"].bytes < costs["full"].bytes


def test_rows_that_are_longer_than_the_base_reads_cost_no_more_than_its_limit():
    at_limit, beyond = (replace(CLINC150, tokens=float(tokens)) for tokens in (256, 5_000))
    assert estimate(beyond, "lora", epochs=1, rows_at_once=8) == estimate(at_limit, "lora", epochs=1, rows_at_once=8)

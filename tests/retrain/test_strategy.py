"""The training plan: defaults that an expert would take, overrules that are checked."""

import re

import pytest

from retrain.strategy import plan_training
from store.errors import BadInput, Refused
from tests.conftest import ImportedBase


def test_lora_goes_on_the_layers_that_the_base_was_exported_for(tiny: ImportedBase) -> None:
    plan = plan_training(tiny.spec, "lora", {}, rows=1_000, epochs=4, seed=7)
    assert (plan.strategy, plan.targets) == ("lora", ("dense", "query", "value"))
    assert (plan.rank, plan.alpha, plan.epochs, plan.seed) == (8, 16, 4, 7)


def test_few_rows_are_gone_through_more_often(tiny: ImportedBase) -> None:
    few, many = (plan_training(tiny.spec, "lora", {}, rows=n, epochs=None, seed=0).epochs for n in (100, 10_000))
    assert (few, many) == (24, 5)


def test_few_rows_are_trained_in_smaller_batches(tiny: ImportedBase) -> None:
    few, many = (plan_training(tiny.spec, "lora", {}, rows=n, epochs=1, seed=0) for n in (4_999, 5_000))
    assert (few.batch_rows, many.batch_rows) == (16, 32)


def test_an_overrule_wins_and_a_wrong_one_is_named(tiny: ImportedBase) -> None:
    assert plan_training(tiny.spec, "lora", {"rank": 4}, rows=10, epochs=1, seed=0).rank == 4
    with pytest.raises(BadInput, match=r"no training parameter 'rnak'; there are .*rank"):
        plan_training(tiny.spec, "lora", {"rnak": 4}, rows=10, epochs=1, seed=0)
    with pytest.raises(BadInput, match="rank 9 does not fit base 'tiny', which takes 1 to 8"):
        plan_training(tiny.spec, "lora", {"rank": 9}, rows=10, epochs=1, seed=0)


def test_a_strategy_that_there_is_not_is_refused(tiny: ImportedBase) -> None:
    with pytest.raises(Refused, match="there is no strategy 'distill'; use one of auto, head, lora, partial, full"):
        plan_training(tiny.spec, "distill", {}, rows=10, epochs=1, seed=0)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("epochs", 0, "epochs is 0; it must lie between 1 and 1000"),
        ("tuned_layers", 0, "tuned_layers is 0; it must lie between 1 and 4096"),
        ("tuned_layers", 1.5, "tuned_layers is 1.5; it must be a whole number or null"),
        ("rows_at_once", 0, "rows_at_once is 0; it must lie between 1 and 4096"),
        ("rows_at_once", 6, "rows_at_once is 6; it must divide batch_rows, which is 16"),
        ("alpha", 0, "alpha is 0; it must lie between 1 and 4096"),
        ("gradient_clip", "abc", "gradient_clip is 'abc'; it must lie between 0 and 1e+06"),
        ("targets", [], "targets is []; it must be a list of names"),
        ("targets", None, "targets is None; it must be a list of names"),
        ("schedule", "sine", "schedule is 'sine'; it must be one of linear, cosine, step, constant"),
        ("learning_rate", "fast", "learning_rate is 'fast'; it must lie between 0 and 1"),
        ("gradual", "yes", "gradual is 'yes'; it must be true or false"),
        ("batch_rows", 8.5, "batch_rows is 8.5; it must be a whole number"),
        ("targets", "query", "targets is 'query'; it must be a list of names"),
        ("targets", ["key"], "base 'tiny' was not exported for key; it has dense, query, value"),
        ("resample", 2, "resample is 2; it must lie between 0 and 1"),
        ("focal_gamma", True, "focal_gamma is True; it must lie between 0 and 10"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_its_bounds(
    tiny: ImportedBase, name: str, value: object, told: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(told)):
        plan_training(tiny.spec, "full", {name: value}, rows=10, epochs=1, seed=0)


def test_rare_classes_do_not_count_twice(tiny: ImportedBase) -> None:
    both = {"resample": 0.5, "class_weights": "balanced"}
    with pytest.raises(BadInput, match="rare classes would count twice; set one of them"):
        plan_training(tiny.spec, "lora", both, rows=10, epochs=1, seed=0)

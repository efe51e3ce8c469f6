import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from retrain.reproduce import (
    MOST_POINTS,
    Reproduction,
    by_step,
    compare_weights,
    differences,
    kept_accuracy,
    pair_epochs,
)

SHARES = st.floats(0, 1)


def reproduction(**values) -> Reproduction:
    usual = {
        "run": "r",
        "model": "tickets",
        "snapshot": "s",
        "same_snapshot": True,
        "epochs": (),
        "accuracy_then": 0.9,
        "accuracy_now": 0.9,
        "identical": True,
        "largest_difference": 0.0,
        "environment": {},
    }
    return Reproduction(**{**usual, **values})


@given(then=SHARES, now=SHARES)
def test_accuracies_agree_within_three_tenths_of_a_point_whichever_is_higher(then, now):
    found = reproduction(accuracy_then=then, accuracy_now=now)
    assert found.agrees == reproduction(accuracy_then=now, accuracy_now=then).agrees
    if abs(100 * (then - now)) > MOST_POINTS + 1e-6:
        assert not found.agrees
    if abs(100 * (then - now)) < MOST_POINTS:
        assert found.agrees


def test_three_tenths_of_a_point_are_still_the_same():
    assert reproduction(accuracy_then=0.900, accuracy_now=0.903).agrees
    assert not reproduction(accuracy_then=0.900, accuracy_now=0.9031).agrees


def test_other_rows_are_never_a_reproduction():
    found = reproduction(same_snapshot=False)
    assert not found.agrees
    assert "other rows than those of the record" in found.verdict


def test_the_accuracy_that_counts_is_that_of_the_lowest_loss():
    figures = by_step(
        [
            (10, "loss", 2.0),
            (30, "eval_loss", 0.5),
            (30, "eval_accuracy", 0.8),
            (60, "eval_loss", 0.3),
            (60, "eval_accuracy", 0.7),
            (90, "eval_loss", 0.4),
            (90, "eval_accuracy", 0.9),
        ]
    )
    assert kept_accuracy(figures) == 0.7
    assert [epoch.step for epoch in pair_epochs(figures, {30: {"eval_loss": 0.5}, 120: {"eval_loss": 1}})] == [
        30,
        60,
        90,
        120,
    ]
    assert pair_epochs(figures, {})[0].accuracy_now is None


def test_weights_are_compared_by_bytes_then_by_number_then_by_shape(tmp_path):
    def weights(name, **tensors):
        save_file(tensors, tmp_path / name)
        return tmp_path / name

    zeros = np.zeros((2, 3), np.float32)
    one = weights("one", a=zeros, b=zeros)
    same, near = weights("same", a=zeros, b=zeros), weights("near", a=zeros, b=zeros - 0.25)
    wide, less = weights("wide", a=zeros, b=np.zeros((2, 4), np.float32)), weights("less", a=zeros)
    assert compare_weights([one], [same]) == (True, 0.0)
    assert compare_weights([one], [near]) == (False, pytest.approx(0.25))
    assert compare_weights([one], [wide]) == (False, None)
    assert compare_weights([one], [less]) == (False, None)
    assert compare_weights([one, near], [same, one]) == (False, pytest.approx(0.25))
    assert compare_weights([one, near], [same]) == (False, None)


def test_only_the_machine_is_compared_line_by_line():
    then = {"plan": {"seed": 1}, "base": {"name": "a"}, "python": "3.11", "packages": {"torch": "1", "peft": "1"}}
    now = {"python": "3.11", "packages": {"torch": "2", "numpy": "1"}}
    assert differences(then, now) == {
        "packages.torch": ("1", "2"),
        "packages.peft": ("1", None),
        "packages.numpy": (None, "1"),
    }


def test_equal_adapters_have_equal_configurations_in_whatever_order_peft_names_the_layers(tmp_path):
    from retrain.trained import _order_config

    written = []
    for targets in (["value", "query"], ["query", "value"]):
        file = tmp_path / "adapter_config.json"
        file.write_text(json.dumps({"target_modules": targets, "r": 8}))
        _order_config(file)
        written.append(file.read_bytes())
    assert written[0] == written[1]
    assert json.loads(written[0]) == {"r": 8, "target_modules": ["query", "value"]}

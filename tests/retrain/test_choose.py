"""The strategy that `auto` takes follows what is measured of the data."""

import numpy as np
import pytest
from numpy.typing import NDArray

from retrain.choose import choose_strategy, measured_similarity
from retrain.dataset import Row
from tests.conftest import ImportedBase


def rows_of(labels: NDArray[np.int64]) -> list[Row]:
    return [Row(f"text {i}", f"class {label}") for i, label in enumerate(labels)]


def told_apart(rows: int, classes: int, *, noise: float, hidden: int = 32) -> tuple[NDArray[np.float32], list[Row]]:
    """Features that a linear head tells apart the worse, the more noise they have."""
    generator = np.random.default_rng(1)
    labels = generator.integers(0, classes, rows)
    centres = generator.normal(size=(classes, hidden))
    return (centres[labels] + generator.normal(size=(rows, hidden)) * noise).astype(np.float32), rows_of(labels)


def test_similarity_is_near_1_where_frozen_features_suffice_and_near_0_where_they_say_nothing() -> None:
    features, rows = told_apart(600, 4, noise=0.1)
    labels = [row.label for row in rows]
    assert measured_similarity(features, labels, seed=0) > 0.97
    assert measured_similarity(np.random.default_rng(2).permutation(features), labels, seed=0) < 0.1


def test_a_constant_answer_is_no_merit() -> None:
    rare = np.array([0] * 570 + [1] * 30)
    noise = np.random.default_rng(3).normal(size=(600, 32)).astype(np.float32)
    assert measured_similarity(noise, [str(label) for label in rare], seed=0) < 0.1, "95 % are of one class"


@pytest.mark.parametrize("labels", [[], ["a"] * 50, ["a", "b"] * 3])
def test_too_little_to_tell_counts_as_far(labels: list[str]) -> None:
    assert measured_similarity(np.zeros((len(labels), 4), np.float32), labels, seed=0) == 0.0


@pytest.mark.parametrize(("noise", "strategy"), [(0.05, "head"), (3.0, "lora")])
def test_auto_leaves_frozen_what_is_told_apart_already(noise: float, strategy: str, tiny: ImportedBase) -> None:
    features, rows = told_apart(800, 4, noise=noise)
    advice = choose_strategy(tiny.spec, rows, features, tokens=12, cores=2)
    assert advice.strategy == strategy
    assert len(advice.why) == 3


def test_a_budget_takes_the_cheaper_strategy(tiny: ImportedBase) -> None:
    features, rows = told_apart(800, 4, noise=3.0)
    assert choose_strategy(tiny.spec, rows, features, tokens=12, cores=2, time_s=10.01).strategy == "head"


def test_copies_of_a_text_do_not_make_the_data_look_near(tiny: ImportedBase) -> None:
    """Noise that is seen again is known by heart."""
    noise = np.random.default_rng(4).normal(size=(100, 32)).astype(np.float32)
    rows = rows_of(np.arange(100) % 4)
    copied = choose_strategy(tiny.spec, rows * 8, np.tile(noise, (8, 1)), tokens=12, cores=2)
    assert copied.strategy == "lora"

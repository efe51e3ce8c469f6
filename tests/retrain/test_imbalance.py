from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.utils.class_weight import compute_class_weight

from retrain.imbalance import (
    effective_number_weights,
    imbalance_ratio,
    inverse_frequency_weights,
    is_imbalanced,
    sampling_probabilities,
)

some_counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100_000), min_size=1)


def test_ten_to_one_is_where_focal_loss_is_suggested():
    assert imbalance_ratio({"a": 99, "b": 10}) == 9.9
    assert not is_imbalanced({"a": 99, "b": 10})
    assert is_imbalanced({"a": 100, "b": 10})
    assert imbalance_ratio({}) == imbalance_ratio({"a": 5}) == imbalance_ratio({"a": 5, "b": 0}) == 1.0


@given(some_counts, st.sampled_from([0.0, 0.9, 0.999]), st.floats(1, 50))
def test_rows_weigh_one_on_average_and_rare_classes_weigh_more(counts, beta, cap):
    for weights in (effective_number_weights(counts, beta=beta), inverse_frequency_weights(counts, cap=cap)):
        rows = sum(counts.values())
        assert sum(weights[label] * count for label, count in counts.items()) == pytest.approx(rows)
        in_order = [weights[label] for label in sorted(counts, key=lambda label: counts[label])]
        assert all(rarer >= commoner * (1 - 1e-9) for rarer, commoner in pairwise(in_order))
    assert max(weights.values()) <= cap * min(weights.values()) * (1 + 1e-9)


def test_without_a_cap_the_weights_are_scikit_learns_balanced_ones():
    labels = np.repeat(["a", "b", "c"], [70, 20, 10])
    theirs = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels)
    ours = inverse_frequency_weights({"a": 70, "b": 20, "c": 10}, cap=np.inf)
    assert_allclose(list(ours.values()), theirs)


def test_the_effective_number_is_that_of_the_paper():
    weights = effective_number_weights({"a": 100, "b": 10}, beta=0.99)
    assert weights["b"] / weights["a"] == pytest.approx((1 - 0.99**100) / (1 - 0.99**10))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.floats(0, 1))
def test_sampling_gives_each_class_its_share(labels, balance):
    found = sampling_probabilities(np.array(labels), balance=balance)
    sizes = np.bincount(labels).astype(float)
    shares = np.where(sizes > 0, np.maximum(sizes, 1) ** (1 - balance), 0)
    assert_allclose(np.bincount(labels, weights=found), shares / shares.sum(), atol=1e-12)


def test_settings_out_of_range_are_refused():
    for call in (
        lambda: effective_number_weights({"a": 1}, beta=1.0),
        lambda: inverse_frequency_weights({"a": 1}, cap=0.5),
        lambda: sampling_probabilities(np.array([0]), balance=1.5),
    ):
        with pytest.raises(ValueError, match="it must be"):
            call()
    assert len(sampling_probabilities(np.array([], np.int64))) == 0

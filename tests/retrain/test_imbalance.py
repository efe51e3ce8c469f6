from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.utils.class_weight import compute_class_weight

from retrain.imbalance import (
    imbalance_ratio,
    inverse_frequency_weights,
    is_imbalanced,
    oversample,
)

some_counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100_000), min_size=1)


def test_ten_to_one_is_where_focal_loss_is_suggested():
    assert imbalance_ratio({"a": 99, "b": 10}) == 9.9
    assert not is_imbalanced({"a": 99, "b": 10})
    assert is_imbalanced({"a": 100, "b": 10})
    assert imbalance_ratio({}) == imbalance_ratio({"a": 5}) == imbalance_ratio({"a": 5, "b": 0}) == 1.0


@given(some_counts, st.floats(1, 50))
def test_rows_weigh_one_on_average_and_rare_classes_weigh_more(counts, cap):
    weights = inverse_frequency_weights(counts, cap=cap)
    assert sum(weights[label] * count for label, count in counts.items()) == pytest.approx(sum(counts.values()))
    in_order = [weights[label] for label in sorted(counts, key=lambda label: counts[label])]
    assert all(rarer >= commoner * (1 - 1e-9) for rarer, commoner in pairwise(in_order))
    assert max(weights.values()) <= cap * min(weights.values()) * (1 + 1e-9)


def test_without_a_cap_the_weights_are_scikit_learns_balanced_ones():
    labels = np.repeat(["a", "b", "c"], [70, 20, 10])
    theirs = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels)
    ours = inverse_frequency_weights({"a": 70, "b": 20, "c": 10}, cap=np.inf)
    assert_allclose(list(ours.values()), theirs)


def test_a_cap_below_one_is_refused():
    with pytest.raises(ValueError, match=r"cap is 0\.5; it must be"):
        inverse_frequency_weights({"a": 1}, cap=0.5)


@given(st.lists(st.sampled_from("aaaaaaaab"), max_size=80), st.floats(0, 1), st.integers(0, 5))
def test_rows_of_rare_classes_are_seen_again_evenly_and_none_is_lost(labels, balance, seed):
    places = oversample(labels, balance=balance, seed=seed)
    assert places[: len(labels)] == list(range(len(labels)))
    assert places == oversample(labels, balance=balance, seed=seed)
    seen = Counter(places)
    for label, count in Counter(labels).items():
        often = [seen[place] for place, own in enumerate(labels) if own == label]
        assert max(often) - min(often) <= 1
        grown = min(10.0, (max(Counter(labels).values()) / count) ** balance)
        assert sum(often) == pytest.approx(count * grown, abs=0.5 + 1e-9)


def test_in_full_balance_all_classes_are_as_large_as_the_largest_ten_times_at_most():
    labels = ["a"] * 60 + ["b"] * 20 + ["c"] * 3
    drawn = Counter(labels[place] for place in oversample(labels, balance=1.0, seed=0))
    assert drawn == {"a": 60, "b": 60, "c": 30}


def test_a_balance_beyond_one_is_refused():
    with pytest.raises(ValueError, match=r"balance is 1\.5; it must be from 0 to 1"):
        oversample(["a"], balance=1.5, seed=0)

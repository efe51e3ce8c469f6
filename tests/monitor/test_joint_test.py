"""Error rates are those of whole checks, see test_decision.py; here is the arithmetic of one."""

from dataclasses import replace
from itertools import combinations
from math import sqrt
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.joint_test import Deals, SignalTest, _as_whole_numbers, deals_for, joint_test
from monitor.signals import Signal, Signals, signals_of
from tests.monitor.traffic import DRIFTED, Source, as_reference, as_window, draw

SMALL = 199


def one_signal(
    values: list[float], window_rows: int, combined: Literal["largest", "upward", "sum"] = "largest"
) -> Signals:
    column = np.array(values, np.float64)
    signal = Signal(column[:, None], ("value",), combined, column)
    return Signals((), len(values) - window_rows, window_rows, {"value": signal})


def only_signal(values: list[float], window_rows: int, *, permutations: int = SMALL, **kwargs: Any) -> SignalTest:
    deals = Deals(len(values) - window_rows, window_rows, permutations=permutations)
    return joint_test(one_signal(values, window_rows, **kwargs), deals)["value"]


@pytest.mark.parametrize(("reference", "window", "count"), [(3, 2, 2_000), (9, 1, 2_000), (1, 9, 2_000), (40, 17, 300)])
def test_a_deal_has_the_window_it_should_and_every_row_is_as_likely_in_it(
    reference: int, window: int, count: int
) -> None:
    deals = Deals(reference, window, permutations=count)
    inside = deals.in_window(0, len(deals))
    assert inside[0].tolist() == [False] * reference + [True] * window
    assert set(inside.sum(axis=1).tolist()) == {window}
    share = window / (reference + window)
    error = sqrt(share * (1 - share) / count)
    assert np.abs(inside[1:].mean(axis=0) - share).max() < 5 * error


@pytest.mark.parametrize("combined", ["largest", "upward", "sum"])
@pytest.mark.parametrize(
    "values",
    [
        [0.0, 1.0, 2.5, 3.0, 4.5, 1.5, 3.0, 12.5],
        [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0],
        [5.0, 5.0, 5.0, 7.0, 5.0, 5.0, 7.0, 5.0],
    ],
)
def test_the_p_value_is_the_share_of_all_deals_that_are_as_extreme(
    values: list[float], combined: Literal["largest", "upward", "sum"]
) -> None:
    draws = 20_000
    found = only_signal(values, 3, permutations=draws, combined=combined)
    centred = np.array(values) - np.mean(values)
    sums = np.array([sum(pick) for pick in combinations(centred.tolist(), 3)])
    came = centred[5:].sum()
    as_extreme = sums >= came - 1e-9 if combined == "upward" else np.abs(sums) >= abs(came) - 1e-9
    exact = as_extreme.mean()
    assert found.alone == found.p_value == pytest.approx(exact, abs=4 * sqrt(exact * (1 - exact) / draws) + 2 / draws)


def test_ties_are_ties_in_large_samples_too() -> None:
    """Whoever is in the window, two sums of the same multiset are the same number."""
    values = np.tile([0.1, 0.2, 0.3, 0.7], 2_500).tolist()
    signals = one_signal(values, 5_000)
    deals = Deals(5_000, 5_000, permutations=20)
    column = _as_whole_numbers(signals.by_name["value"].features)
    exact = deals.in_window(0, 21) @ np.rint(column[:, 0].astype(np.float64)).astype(np.int64)
    assert deals.sums(column)[:, 0].astype(np.int64).tolist() == exact.tolist()


def test_where_all_rows_are_equal_nothing_differs() -> None:
    for value in (0.0, 1.0, 3.3):
        found = only_signal([value] * 20, 8)
        assert (found.p_value, found.alone) == (1.0, 1.0)


def test_the_smallest_p_value_is_one_deal_of_all() -> None:
    assert only_signal([0.0] * 30 + [1.0] * 30, 30).p_value == 1 / (SMALL + 1)


def test_deals_of_other_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="deals of 5 and 3 rows are none of 4 and 4"):
        joint_test(one_signal([1.0] * 8, 4), Deals(5, 3, permutations=SMALL))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1_000), shift=st.sampled_from([0.0, 0.3]))
def test_looking_at_more_costs_something_and_looking_twice_at_the_same_nothing(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    reference = as_reference(draw(Source(), 60, rng))
    signals = signals_of(reference, as_window(draw(Source(topic_shift=shift), 40, rng)))
    deals = Deals(60, 40, permutations=SMALL)
    found = joint_test(signals, deals)
    weights = {name: signal.weight for name, signal in signals.by_name.items()}
    for name, signal in found.items():
        bound = signal.alone * sum(weights.values()) / weights[name]
        assert 0 < signal.p_value <= min(1.0, bound + 1e-9)
    lonely = {"length": signals.by_name["length"]}
    twice = {**lonely, "again": signals.by_name["length"]}
    assert joint_test(replace(signals, by_name=lonely), deals)["length"].p_value == found["length"].alone
    assert joint_test(replace(signals, by_name=twice), deals)["again"].p_value == found["length"].alone


def test_while_nothing_drifts_the_smallest_p_value_is_below_any_rate_as_often_as_the_rate_says() -> None:
    """400 pairs of samples: each share within 3.3 sigma of its rate, which all three are in 997 of 1,000 runs."""
    deals, pairs = Deals(120, 60, permutations=SMALL), 400
    smallest = []
    for seed in range(pairs):
        rng = np.random.default_rng([7, seed])
        signals = signals_of(as_reference(draw(Source(), 120, rng)), as_window(draw(Source(), 60, rng)))
        smallest.append(min(found.p_value for found in joint_test(signals, deals).values()))
    for rate in (0.05, 0.1, 0.3):
        assert np.mean(np.array(smallest) <= rate) == pytest.approx(rate, abs=3.3 * sqrt(rate * (1 - rate) / pairs))


@pytest.mark.parametrize("rate", [0.05, 0.01, 0.001])
def test_one_signal_that_differs_reaches_any_rate(rate: float) -> None:
    rng = np.random.default_rng(5)
    reference, window = as_reference(draw(Source(), 100, rng)), as_window(draw(Source(length_mean=90.0), 100, rng))
    found = joint_test(signals_of(reference, window), deals_for(100, 100, rate))
    assert found["length"].p_value <= rate


def test_the_same_data_has_the_same_p_values() -> None:
    rng = np.random.default_rng(2)
    signals = signals_of(as_reference(draw(Source(), 60, rng)), as_window(draw(DRIFTED, 40, rng)))
    once, twice = (joint_test(signals, Deals(60, 40, permutations=SMALL)) for _ in range(2))
    assert once == twice

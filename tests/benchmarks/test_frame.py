"""What the benchmarks share: their rounds, their sums and their lines."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.frame import Promise, at_least, at_most, claim_line, figure_line, order, play, ratios


def test_both_sides_of_a_ratio_take_turns_in_coming_first():
    log: list[str] = []
    found = play({"a": lambda: log.append("a"), "b": lambda: log.append("b")}, rounds=4)
    assert "".join(log) == "abbaabba"
    assert {name: len(turns) for name, turns in found.items()} == {"a": 4, "b": 4}


@given(names=st.lists(st.text(max_size=3), min_size=1, max_size=6, unique=True), number=st.integers(0, 100))
def test_every_side_plays_once_a_round_and_each_comes_first_in_turn(names, number):
    assert sorted(order(names, number)) == sorted(names)
    assert {order(names, number + i)[0] for i in range(len(names))} == set(names)


def test_a_ratio_belongs_to_its_round():
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert math.isnan(ratios([1.0], [0.0])[0]), "nothing was done on the other side: there is no ratio"


def test_a_claim_shows_its_median_what_was_promised_and_every_round():
    line = claim_line("claim 1a: x", [0.91, 0.95, 0.92, 0.94, 0.93], at_least(0.90))
    assert line == "claim 1a: x: 0.93 (promised at least 0.90) median of 5 rounds [0.91 0.95 0.92 0.94 0.93]"


@pytest.mark.parametrize(
    ("promise", "kept", "missed"),
    [
        (at_least(0.9), 0.9, 0.89),
        (at_most(1.1), 1.1, 1.11),
        (Promise(0.9, 1.1), 1.0, 1.2),
        (at_least(0.9), 1.0, math.nan),
    ],
)
def test_a_missed_promise_shows(promise, kept, missed):
    assert "MISSED" not in claim_line("x", [kept], promise)
    assert f"({promise}, MISSED) 1 round" in claim_line("x", [missed], promise)


def test_a_figure_is_the_median_with_its_unit():
    assert figure_line("rate", [100.0, 1234.5, 2000.0], "texts/s") == "rate: 1,234 texts/s"
    assert figure_line("p50", 4.256, "ms") == "p50: 4.26 ms"
    assert figure_line("ratio", [1.0, math.nan], "") == "ratio: 1"

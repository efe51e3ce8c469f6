import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from retrain.compare import compare_answers, holm

ROWS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


def answers(*columns: tuple[int, bool, bool]) -> tuple[np.ndarray, np.ndarray]:
    one = np.repeat([first for _, first, _ in columns], [count for count, _, _ in columns])
    other = np.repeat([second for _, _, second in columns], [count for count, _, _ in columns])
    return one, other


def test_a_difference_is_told_with_what_was_won_and_lost() -> None:
    found = compare_answers(*answers((80, True, True), (12, True, False), (3, False, True), (5, False, False)))
    assert (found.value, found.won, found.lost) == (0.09, 12, 3)
    assert 0 < found.low < 0.09 < found.high < 0.2
    assert found.p_value == pytest.approx(binomtest(12, 15).pvalue)


@given(ROWS)
def test_the_other_way_round_everything_has_the_other_sign(rows) -> None:
    one, other = np.array(rows).T
    found, back = compare_answers(one, other), compare_answers(other, one)
    assert (back.value, back.won, back.lost) == (-found.value, found.lost, found.won)
    assert (back.low, back.high) == (-found.high, -found.low)
    assert back.p_value == found.p_value
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_two_that_never_differ_may_still_differ_by_a_little() -> None:
    found = compare_answers(*answers((50, True, True), (50, False, False)))
    assert (found.value, found.p_value) == (0, 1)
    assert found.low < -0.01
    assert found.high > 0.01


def test_an_interval_of_a_difference_holds_the_truth_in_19_of_20_samples() -> None:
    """2,000 samples of 150 rows, 6 % won and 3 % lost: three standard errors below 0.95 are 0.935."""
    generator = np.random.default_rng(4)
    held = 0
    for won, lost, _ in generator.multinomial(150, (0.06, 0.03, 0.91), size=2_000):
        found = compare_answers(*answers((won, True, False), (lost, False, True), (150 - won - lost, True, True)))
        held += found.low <= 0.03 <= found.high
    assert held / 2_000 >= 0.935, held


def test_holm_adjusts_as_its_paper_does() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_an_adjusted_p_value_is_never_smaller_and_keeps_the_order(p_values) -> None:
    adjusted = holm(p_values)
    assert all(a >= p and a <= 1 for a, p in zip(adjusted, p_values, strict=True))
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in ranked] == sorted(adjusted)

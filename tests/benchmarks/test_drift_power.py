import numpy as np

from benchmarks.drift_power import OURS, RATE, Scenario, _lines

NULL = {
    OURS: np.full(200, -0.5),
    "keen": np.linspace(0.0, 1.0, 200),
    "blind": np.linspace(0.0, 1.0, 200),
}
"""What each says of windows in which nothing drifted; ours says p-values, and more is more evidence."""


def test_a_test_sees_what_is_beyond_its_own_quantile_of_windows_in_which_nothing_drifted() -> None:
    found = {OURS: np.full(100, -RATE), "keen": np.full(100, 2.0), "blind": np.full(100, 0.9)}
    seen, compared, difference = _lines(Scenario("a shift", "world", asked=0.95), NULL, found)
    assert seen.startswith("a shift: seen in 100.0% [96.4% to 100.0%] of 100 (asked 95%), ")
    assert "keen 100.0%, blind 0.0%" in compared
    assert difference == "  ours less the best of them: +0.0% +- 0.0%"


def test_it_is_said_where_ours_sees_less_than_was_asked_and_than_the_best_single_test() -> None:
    found = {OURS: np.full(100, -2 * RATE), "keen": np.full(100, 2.0), "blind": np.full(100, 0.9)}
    seen, _, difference = _lines(Scenario("a shift", "world", asked=0.95), NULL, found)
    assert "(asked 95%, MISSED), first finding after never" in seen
    assert difference.endswith("-100.0% +- 0.0%, MISSED")

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.worth import Prices, Span, weigh

BETTER = Span(0.03, 0.01, 0.05)


def test_a_better_version_pays_its_labels_back() -> None:
    prices = Prices(0.5, predictions_per_day=1_000, cost_of_label=0.2, cost_of_hour=6)
    found = weigh(BETTER, prices, labels=500, training_s=600)
    assert (found.per_thousand.value, found.per_thousand.low) == (pytest.approx(15), pytest.approx(5))
    assert found.per_day.high == pytest.approx(25)
    assert found.cost == pytest.approx(101)
    assert found.days_to_pay_back == pytest.approx(101 / 15)
    assert found.days_at_worst == pytest.approx(101 / 5)
    assert "earns more" in found.verdict


def test_an_interval_with_0_in_it_says_so_and_may_never_pay_back() -> None:
    found = weigh(Span(0.01, -0.01, 0.03), Prices(1.0, predictions_per_day=100), labels=0, training_s=0)
    assert "includes 0" in found.verdict
    assert (found.days_to_pay_back, found.days_at_worst) == (0, None)


def test_without_traffic_no_day_is_promised() -> None:
    found = weigh(BETTER, Prices(1.0, cost_of_label=1), labels=10, training_s=0)
    assert (found.per_day, found.days_to_pay_back) == (None, None)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_value_lies_in_its_interval(value, below, above, price, traffic) -> None:
    found = weigh(Span(value, value - below, value + above), Prices(price, traffic), labels=3, training_s=1)
    for span in (found.per_thousand, found.per_day):
        assert span.low <= span.value <= span.high
    assert ("loses" in found.verdict) == (value + above < 0)

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from store.false_alarms import expected_days_between_findings

HOUR_S, DAY_S = 3600.0, 86_400.0
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def every(minutes: float, *, checks: int) -> list[datetime]:
    return [NOON + timedelta(minutes=minutes * i) for i in range(checks)]


@pytest.mark.parametrize(
    ("rate", "every_s", "days"), [(0.01, HOUR_S, 100 / 24), (0.01, DAY_S, 100), (0.05, DAY_S, 20), (0.5, DAY_S, 2)]
)
def test_one_check_in_so_many_finds_something_by_chance(rate, every_s, days):
    assert expected_days_between_findings(rate, every_s) == pytest.approx(days)


def test_where_traffic_makes_checks_come_faster_their_pace_counts():
    busy = expected_days_between_findings(0.01, HOUR_S, every(6, checks=15))
    assert busy == pytest.approx(100 * 6 / 60 / 24)


def test_the_pace_is_that_of_the_newest_checks():
    quiet_then_busy = every(60, checks=50) + [NOON + timedelta(days=3, minutes=6 * i) for i in range(20)]
    assert expected_days_between_findings(0.01, HOUR_S, quiet_then_busy) == pytest.approx(100 * 6 / 60 / 24)


@pytest.mark.parametrize("checked_at", [[], [NOON], every(1, checks=3), every(600, checks=20)])
def test_few_checks_and_slow_ones_leave_it_at_the_schedule(checked_at):
    assert expected_days_between_findings(0.01, HOUR_S, checked_at) == pytest.approx(100 / 24)


def test_independent_findings_at_the_stated_rate_lie_as_far_apart_as_is_told():
    """The arithmetic and its unit, by coin flips. Real checks share a reference: their findings come in clusters, and
    that the rate itself holds is shown with the check, in tests/monitor/test_decision.py."""
    rate, checks = 0.01, 400_000
    found = np.flatnonzero(np.random.default_rng(7).random(checks) < rate)
    gaps = np.diff(found)
    told = expected_days_between_findings(rate, HOUR_S) * 24
    assert abs(gaps.mean() - told) <= 3 * gaps.std() / np.sqrt(len(gaps))

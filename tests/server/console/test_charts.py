import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.console.charts import (
    BOTTOM,
    LEFT,
    MOST_TIME_TICKS,
    P_FLOOR,
    RIGHT,
    TOP,
    Axis,
    Chart,
    Reading,
    draw,
    drift_score,
    score_axis,
    share_axis,
    time_ticks,
)

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SHARES = st.floats(0, 1)
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))


@st.composite
def readings(draw_from) -> list[Reading]:
    times = sorted(draw_from(st.lists(INSTANTS, min_size=1, max_size=30)))
    made = []
    for i, at in enumerate(times):
        low, value, high = sorted(draw_from(st.tuples(SHARES, SHARES, SHARES)))
        made.append(
            Reading(
                at,
                version=1 + (3 * i) // len(times),
                value=value,
                low=draw_from(st.sampled_from([low, None])),
                high=draw_from(st.sampled_from([high, None])),
                limit=draw_from(st.one_of(st.none(), SHARES)),
                found=draw_from(st.booleans()),
            )
        )
    return made


def drawn(series: list[Reading], axis: Axis) -> Chart:
    return draw(series, axis, series[0].at, series[-1].at)


def inside(x: float, y: float) -> bool:
    return LEFT <= x <= RIGHT and TOP <= y <= BOTTOM


@given(series=readings())
def test_whatever_was_measured_lies_within_the_plot_and_in_the_order_of_time(series):
    chart = drawn(series, share_axis([one.value for one in series]))
    assert len(chart.marks) == len(series)
    assert all(inside(mark.x, y) for mark in chart.marks for y in (mark.y, mark.low, mark.high))
    assert all(a.x <= b.x for a, b in pairwise(chart.marks))
    assert all(mark.high <= mark.y <= mark.low for mark in chart.marks), "y points down"
    assert all(LEFT <= tick.place <= RIGHT for tick in (*chart.times, *chart.versions))
    assert all(TOP <= tick.place <= BOTTOM for tick in chart.values)


@given(series=readings())
def test_a_line_joins_the_readings_of_one_version_only(series):
    chart = drawn(series, share_axis([]))
    versions = sorted({one.version for one in series})
    assert len(chart.lines) == len(versions)
    assert sum(len(line.split()) for line in chart.lines) == len(series)
    assert [tick.words for tick in chart.versions] == [f"v{version}" for version in versions[1:]]


@given(series=readings())
def test_the_line_to_compare_with_goes_from_edge_to_edge_and_stays_inside(series):
    chart = drawn(series, share_axis([]))
    limits = [one.limit for one in series if one.limit is not None]
    assert bool(chart.limit) == bool(limits)
    if limits:
        assert re.fullmatch(rf"M{LEFT} [\d.]+(H[\d.]+V[\d.]+)*H{RIGHT}", chart.limit)
        steps = [float(y) for y in re.findall(r"V([\d.]+)", chart.limit)]
        assert all(TOP <= y <= BOTTOM for y in [chart.limit_starts, *steps])


def test_a_larger_value_stands_higher_and_as_much_higher_as_it_is_larger():
    chart = drawn(
        [Reading(NOON + timedelta(hours=i), 1, value) for i, value in enumerate((0.0, 0.5, 1.0))], Axis(0, 1, ())
    )
    assert [mark.y for mark in chart.marks] == [BOTTOM, (TOP + BOTTOM) / 2, TOP]
    assert [mark.x for mark in chart.marks] == [LEFT, (LEFT + RIGHT) / 2, RIGHT]


def test_one_reading_alone_stands_in_the_middle():
    (mark,) = drawn([Reading(NOON, 1, 0.5)], share_axis([0.5])).marks
    assert mark.x == (LEFT + RIGHT) / 2


@given(p_value=SHARES)
def test_a_drift_score_is_bounded_also_for_a_p_value_of_0(p_value):
    assert 0 <= drift_score(p_value) <= -log10(P_FLOOR)


@pytest.mark.parametrize(("p_value", "score"), [(1, 0), (0.1, 1), (0.01, 2), (0.001, 3), (0, 6)])
def test_each_ten_times_smaller_p_value_scores_1_more(p_value, score):
    assert drift_score(p_value) == pytest.approx(score)


@given(scores=st.lists(st.floats(0, 6)))
def test_scores_lie_below_the_upper_edge_and_ticks_are_p_values(scores):
    axis = score_axis(scores)
    assert axis.low == 0
    assert axis.high > max([2.0, *scores])
    assert [words for _, words in axis.ticks][:3] == ["1", "0.1", "0.01"]
    assert all(axis.low <= value <= axis.high for value, _ in axis.ticks)


@given(shares=st.lists(SHARES))
def test_an_axis_of_shares_holds_them_all_between_few_round_ticks(shares):
    axis = share_axis(shares)
    assert 0 <= axis.low < axis.high <= 1
    assert all(axis.low - 1e-9 <= share <= axis.high + 1e-9 for share in shares)
    assert 2 <= len(axis.ticks) <= 5
    assert all(re.fullmatch(r"\d+ %", words) for _, words in axis.ticks)


@given(instants=st.tuples(INSTANTS, INSTANTS))
def test_time_ticks_are_few_round_and_within(instants):
    first, last = sorted(instants)
    ticks = [at for at, _ in time_ticks(first, last)]
    assert len(ticks) <= MOST_TIME_TICKS
    assert all(first <= at <= last for at in ticks)
    assert all(at.second == at.microsecond == 0 for at in ticks)


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.05, ["12:00", "12:01", "12:02", "12:03"]),
        (3, ["12:00", "13:00", "14:00", "15:00"]),
        (24, ["12:00", "3 Nov", "12:00"]),
        (24 * 4, ["3 Nov", "4 Nov", "5 Nov", "6 Nov"]),
        (24 * 20, ["9 Nov", "16 Nov"]),
    ],
)
def test_time_ticks_say_the_hour_or_the_day(hours, words):
    assert [told for _, told in time_ticks(NOON, NOON + timedelta(hours=hours))] == words

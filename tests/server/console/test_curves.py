from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.console.charts import BOTTOM, LEFT, RIGHT, TOP, Axis
from server.console.curves import MARKED_POINTS, MOST_TICKS, Series, draw_curves, round_axis, series_of
from server.console.runs import kept_step, pictures

LOSSES = st.floats(0, 20)
FIGURES = st.dictionaries(
    st.integers(1, 100_000),
    st.fixed_dictionaries({}, optional={"loss": LOSSES, "eval_loss": LOSSES, "eval_accuracy": st.floats(0, 1)}),
    max_size=60,
)


def one(*points, kind="validation") -> Series:
    return Series("loss", kind, points)


@given(figures=FIGURES)
def test_whatever_was_logged_lies_within_the_plot_in_the_order_of_steps(figures):
    for picture in pictures(figures):
        chart = picture.chart
        for curve in chart.curves:
            places = [tuple(map(float, pair.split(","))) for pair in curve.line.split()]
            assert places
            assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in places)
            assert all(a[0] <= b[0] for a, b in pairwise(places))
        assert all(LEFT <= tick.place <= RIGHT for tick in chart.steps)
        assert all(TOP <= tick.place <= BOTTOM for tick in chart.values)
        assert chart.kept is None or LEFT <= chart.kept <= RIGHT


@given(values=st.lists(st.floats(-1000, 1000), min_size=1))
def test_an_axis_holds_every_value_between_few_round_ticks(values):
    axis = round_axis(values)
    slack = 1e-6 * (1 + max(map(abs, values)))
    assert axis.low - slack <= min(values) <= max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= MOST_TICKS
    steps = [b - a for (a, _), (b, _) in pairwise(axis.ticks)]
    assert all(step == pytest.approx(steps[0]) for step in steps)


@given(shares=st.lists(st.floats(0, 100)))
def test_an_axis_of_shares_stays_between_0_and_100(shares):
    axis = round_axis(shares, lowest=0.0, highest=100.0, unit=" %")
    assert axis.low >= 0
    assert axis.high <= 100
    assert all(words.endswith(" %") for _, words in axis.ticks)


def test_both_losses_are_in_one_picture_and_the_lowest_validation_loss_is_kept():
    figures = {10: {"loss": 2.0}, 20: {"loss": 1.0, "eval_loss": 1.5, "eval_accuracy": 0.7}}
    figures |= {40: {"eval_loss": 0.8, "eval_accuracy": 0.9}, 60: {"eval_loss": 0.9, "eval_accuracy": 0.91}}
    loss, accuracy = pictures(figures)
    assert [curve.kind for curve in loss.chart.curves] == ["training", "validation"]
    assert [curve.kind for curve in accuracy.chart.curves] == ["validation"]
    assert kept_step(figures) == 40
    assert loss.chart.kept == accuracy.chart.kept == round(LEFT + 40 / 60 * (RIGHT - LEFT), 1)
    assert accuracy.chart.curves[0].dots[-1].told == "step 60: validation accuracy 91 %"


def test_a_larger_value_stands_higher():
    chart = draw_curves([one((0, 0.0), (5, 0.5), (10, 1.0))], Axis(0, 1, ()), last_step=10)
    assert [float(pair.split(",")[1]) for pair in chart.curves[0].line.split()] == [BOTTOM, (TOP + BOTTOM) / 2, TOP]


def test_a_line_of_many_points_has_no_marks_but_evaluations_always_do():
    many = tuple((step, 1.0) for step in range(MARKED_POINTS + 1))
    training, validation = draw_curves([one(*many, kind="training"), one(*many)], Axis(0, 2, ()), last_step=99).curves
    assert training.dots == ()
    assert len(validation.dots) == len(many)


def test_what_is_not_finite_is_left_out():
    figures = {1: {"loss": float("nan")}, 2: {"loss": float("inf")}, 3: {"loss": 1.0}}
    assert series_of(figures, "loss", told="loss", kind="training").points == ((3, 1.0),)
    assert pictures({1: {"loss": float("nan")}}) == []

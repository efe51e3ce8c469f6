from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.engine import Scored
from monitor.backtest import (
    Backtest,
    draw_windows,
    exact_interval,
    judge_windows,
    require_reference_rows,
    summarise,
    window_of,
    windows_in_order,
)
from monitor.decision import DriftRules, Verdict
from store.errors import BadInput
from tests.monitor.traffic import DRIFTED, Source, as_reference, draw

RULES = DriftRules(false_alarm_rate=0.05, confirm_checks=2, window_min_rows=100)


def scored(*parts: Any) -> Scored:
    names = ("probabilities", "sketches", "length_tokens", "length_chars", "unknown_tokens")
    return Scored(*(np.concatenate([getattr(rows, name) for rows in parts]) for name in names))


def played(own: Source, windows: int, *, mix: Source | None = None, share: float = 0.0, seed: int = 1) -> Backtest:
    """Windows of 200 rows from `own`, a share of each from `mix`, against 400 rows of the usual world."""
    rng = np.random.default_rng(seed)
    reference = as_reference(draw(Source(), 400, rng))
    rows = scored(draw(own, 1_000, rng), draw(mix or own, 500, rng))
    draws = draw_windows(1_000, window_rows=200, windows=windows, rng=rng, other_rows=500, share=share)
    drawn = (window_of(np.concatenate([one.own, 1_000 + one.other]), rows) for one in draws)
    return summarise(list(judge_windows(reference, drawn, RULES, streams=True)), window_rows=200, streams=True)


def test_where_nothing_drifts_alarms_are_as_rare_as_stated() -> None:
    """A window for each reference, so that all are independent: of 200 at 5 %, more than 20 has a chance of 1e-3."""
    alarms = sum(played(Source(), 1, seed=seed).alarms for seed in range(200))
    assert 0 < alarms <= 20


def test_drift_is_found_in_every_window_and_confirmed_by_the_second() -> None:
    found = played(Source(), 20, mix=DRIFTED, share=0.5)
    assert (found.windows, found.alarms, found.rate) == (20, 20, 1.0)
    assert (found.confirmed, found.mean_delay_windows) == (10, 2.0)
    assert found.interval[0] > 0.8


def test_a_smaller_share_is_found_less_often() -> None:
    rates = [played(Source(), 30, mix=DRIFTED, share=share).rate for share in (0.0, 0.05, 0.5)]
    assert rates[0] < rates[1] < rates[2]


def test_in_order_the_windows_tell_when_it_began() -> None:
    rng = np.random.default_rng(3)
    reference = as_reference(draw(Source(), 400, rng))
    rows = scored(draw(Source(), 600, rng), draw(DRIFTED, 450, rng))
    windows = (window_of(one.own, rows) for one in windows_in_order(1_050, window_rows=200))
    judged = list(judge_windows(reference, windows, RULES, streams=False))
    assert [one.decision.verdict for one in judged] == [*[Verdict.STABLE] * 3, Verdict.SUSPECTED, Verdict.DRIFT]
    found = summarise(judged, window_rows=200, streams=False)
    assert (found.alarms, found.confirmed, found.mean_delay_windows) == (2, 1, 5.0)
    before, after = judged[0].estimated, judged[-1].estimated
    assert before is not None
    assert after is not None
    assert after.high < before.low, "the model is less sure of what it does not know"


@given(
    own=st.integers(20, 200),
    other=st.integers(0, 100),
    size=st.integers(1, 60),
    share=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_a_window_has_its_size_its_share_and_no_row_twice(
    own: int, other: int, size: int, share: float, seed: int
) -> None:
    def drawn() -> list[tuple[list[int], list[int]]]:
        rng = np.random.default_rng(seed)
        found = draw_windows(own, window_rows=size, windows=3, rng=rng, other_rows=other, share=share)
        return [(one.own.tolist(), one.other.tolist()) for one in found]

    mixed = round(share * size)
    if share and not mixed:
        with pytest.raises(BadInput, match="less than one"):
            drawn()
        return
    if own < size - mixed or other < mixed:
        with pytest.raises(BadInput, match="too few"):
            drawn()
        return
    windows = drawn()
    assert windows == drawn()
    for mine, theirs in windows:
        assert (len(mine), len(theirs)) == (size - mixed, mixed)
        assert len(set(mine)) == len(mine)
        assert len(set(theirs)) == len(theirs)
        assert set(mine) <= set(range(own))
        assert set(theirs) <= set(range(other))


@given(rows=st.integers(1, 500), size=st.integers(1, 100))
def test_in_order_every_row_is_in_one_window_but_for_a_rest(rows: int, size: int) -> None:
    if rows < size:
        with pytest.raises(BadInput, match="too few"):
            windows_in_order(rows, window_rows=size)
        return
    taken = np.concatenate([one.own for one in windows_in_order(rows, window_rows=size)])
    assert taken.tolist() == list(range(len(taken)))
    assert rows - size < len(taken) <= rows


def test_a_reference_that_is_too_small_is_refused() -> None:
    reference = as_reference(draw(Source(), 50, np.random.default_rng(1)))
    with pytest.raises(BadInput, match="the reference has 50 rows, 100 are needed"):
        require_reference_rows(reference, RULES)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 100, 0.0164, 0.1128)],
)
def test_the_exact_interval_is_that_of_the_tables(successes: int, trials: int, low: float, high: float) -> None:
    assert exact_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)

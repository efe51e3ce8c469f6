from collections.abc import Mapping
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.decision import (
    KINDS,
    DriftDecision,
    DriftRules,
    PastCheck,
    Verdict,
    decide_drift,
)
from monitor.joint_test import Deals, deals_for, joint_test
from monitor.signals import signals_of
from tests.monitor.traffic import DRIFTED, Source, as_reference, as_window, draw

RULES = DriftRules(false_alarm_rate=0.01, confirm_checks=2, window_min_rows=100)
CALM = dict.fromkeys(KINDS, 0.5)

p_values = st.fixed_dictionaries({signal: st.floats(0, 1) for signal in KINDS})
past_checks = st.lists(
    st.builds(
        PastCheck,
        verdict=st.sampled_from(Verdict),
        drifted=st.frozensets(st.sampled_from(sorted(KINDS))),
    ),
    max_size=4,
)


def saw(verdict: Verdict, *drifted: str) -> PastCheck:
    return PastCheck(verdict, frozenset(drifted))


def judged(p_values: Mapping[str, float], *past: PastCheck, rules: DriftRules = RULES) -> DriftDecision:
    return decide_drift({**CALM, **p_values}, 500, past, rules)


def test_one_odd_check_is_only_suspected() -> None:
    decision = judged({"length": 1e-9})
    assert decision.verdict is Verdict.SUSPECTED
    assert decision.kinds == ("covariate",)
    assert decision.drifted == ("length",)
    assert decision.reason == (
        "length (p = 1e-09) differs from the reference; 2 checks in a row must agree, this is number 1"
    )


def test_two_checks_that_agree_are_drift() -> None:
    decision = judged({"length": 1e-9, "predicted_label": 1e-5}, saw(Verdict.SUSPECTED, "length"))
    assert decision.verdict is Verdict.DRIFT
    assert decision.kinds == ("covariate", "prior")
    assert decision.reason == (
        "length (p = 1e-09) and predicted_label (p = 1e-05) differ from the reference in 2 checks in a row"
    )


def test_two_checks_that_found_different_signals_do_not_agree() -> None:
    assert judged({"length": 1e-9}, saw(Verdict.SUSPECTED, "confidence")).verdict is Verdict.SUSPECTED


def test_a_slice_and_the_whole_window_agree_and_two_slices_do_not() -> None:
    assert judged({"length": 1e-9}, saw(Verdict.SUSPECTED, "region=eu: length")).verdict is Verdict.DRIFT
    of_slice = {"region=eu": {"length": 1e-9}}

    def after(name: str) -> Verdict:
        return decide_drift(CALM, 500, [saw(Verdict.SUSPECTED, name)], RULES, slices=of_slice).verdict

    assert after("length") is Verdict.DRIFT
    assert after("region=eu: length") is Verdict.DRIFT
    assert after("region=us: length") is Verdict.SUSPECTED
    assert after("embedding") is Verdict.SUSPECTED


def test_a_calm_check_between_two_odd_ones_breaks_the_row() -> None:
    past = [saw(Verdict.SUSPECTED, "length"), saw(Verdict.STABLE)]
    assert judged({"length": 1e-9}, *past).verdict is Verdict.SUSPECTED


def test_a_check_without_enough_data_between_two_odd_ones_does_not() -> None:
    past = [saw(Verdict.SUSPECTED, "length"), saw(Verdict.NOT_ENOUGH_DATA)]
    assert judged({"length": 1e-9}, *past).verdict is Verdict.DRIFT


def test_drift_stays_drift_while_checks_agree_and_ends_with_the_first_calm_one() -> None:
    assert judged({"length": 1e-9}, saw(Verdict.DRIFT, "length")).verdict is Verdict.DRIFT
    assert judged({}, saw(Verdict.DRIFT, "length")).verdict is Verdict.STABLE


def test_a_calm_check_says_how_near_the_nearest_signal_was() -> None:
    decision = judged({"length": 0.04})
    assert decision.verdict is Verdict.STABLE
    assert decision.kinds == ()
    assert decision.reason == ("no signal differs from the reference; the nearest is length (p = 0.04, alarm at 0.01)")


def test_too_few_rows_are_not_judged() -> None:
    decision = decide_drift({"length": 0.0}, 99, [saw(Verdict.DRIFT, "length")], RULES)
    assert decision.verdict is Verdict.NOT_ENOUGH_DATA
    assert decision.reason == "99 of 100 predictions since the last check"


def test_a_p_value_at_the_rate_is_an_alarm() -> None:
    assert judged({"embedding": 0.01}).drifted == ("embedding",)
    assert judged({"embedding": 0.0101}).verdict is Verdict.STABLE


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match="'length' is nan"):
        judged({"length": float("nan")})


@given(p=p_values, rows=st.integers(0, 1000), past=past_checks, confirm=st.integers(1, 4))
def test_nothing_is_confirmed_without_enough_rows_evidence_and_persistence(
    p: dict[str, float], rows: int, past: list[PastCheck], confirm: int
) -> None:
    rules = DriftRules(confirm_checks=confirm)
    decision = decide_drift(p, rows, past, rules)
    crossed = min(p.values()) <= rules.false_alarm_rate
    assert (decision.verdict is Verdict.NOT_ENOUGH_DATA) == (rows < rules.window_min_rows)
    if rows >= rules.window_min_rows:
        assert crossed == (decision.verdict in (Verdict.SUSPECTED, Verdict.DRIFT)) == bool(decision.kinds)
    if decision.verdict is Verdict.DRIFT and confirm > 1:
        heard = [check for check in past if check.verdict is not Verdict.NOT_ENOUGH_DATA][-(confirm - 1) :]
        assert len(heard) == confirm - 1
        assert frozenset.intersection(*(check.drifted for check in heard), frozenset(decision.drifted))
    assert decision.reason


@given(p=p_values, factor=st.floats(0, 1), past=past_checks)
def test_more_evidence_never_calms(p: dict[str, float], factor: float, past: list[PastCheck]) -> None:
    order = [Verdict.STABLE, Verdict.SUSPECTED, Verdict.DRIFT]
    before = decide_drift(p, 500, past, RULES)
    after = decide_drift({signal: value * factor for signal, value in p.items()}, 500, past, RULES)
    assert order.index(after.verdict) >= order.index(before.verdict)
    assert set(after.drifted) >= set(before.drifted)


def one_check(source: Source, seed: int, deals: Deals, rules: DriftRules = RULES) -> DriftDecision:
    rng = np.random.default_rng(seed)
    reference = as_reference(draw(Source(), deals.reference_rows, rng))
    signals = signals_of(reference, as_window(draw(source, deals.window_rows, rng)))
    p = {name: found.p_value for name, found in joint_test(signals, deals).items()}
    return decide_drift(p, deals.window_rows, [], rules)


@pytest.mark.parametrize(("reference_rows", "window_rows"), [(300, 100), (800, 300)])
def test_when_nothing_drifts_a_check_finds_something_no_more_often_than_the_false_alarm_rate(
    reference_rows: int, window_rows: int
) -> None:
    """120 windows, each against a reference of its own, at 5 %: at most 6 + 3 sigma = 13.2."""
    windows, rules = 120, DriftRules(false_alarm_rate=0.05)
    deals = Deals(reference_rows, window_rows, permutations=399)
    alarms = sum(one_check(Source(), seed, deals, rules).verdict is not Verdict.STABLE for seed in range(windows))
    bound = windows * 0.05 + 3 * sqrt(windows * 0.05 * 0.95)
    assert alarms <= bound, f"{alarms} of {windows} checks found drift where there was none"


@pytest.mark.parametrize(
    ("source", "signal"),
    [
        (Source(topic_shift=0.25), "embedding"),
        (Source(length_mean=26.0), "length"),
        (Source(unknown_share=0.06), "data_quality"),
        (Source(chars_a_token=4.0), "data_quality"),
        (Source(prior=(0.55, 0.15, 0.15, 0.15)), "predicted_label"),
        (Source(margin=2.3), "confidence"),
        (DRIFTED, "embedding"),
        (DRIFTED, "out_of_scope"),
    ],
)
def test_each_kind_of_shift_is_seen_by_its_own_signal(source: Source, signal: str) -> None:
    """20 windows of 300: a power of 95 % would miss more than 3 of them in 2 % of runs."""
    deals = deals_for(500, 300, RULES.false_alarm_rate)
    seen = sum(signal in one_check(source, seed, deals).drifted for seed in range(20))
    assert seen >= 17, f"{signal} saw {seen} of 20"

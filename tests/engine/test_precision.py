"""Which precision may serve: the bound, the verdicts, the choice; and how often the bound is wrong."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis.strategies import composite, floats, integers
from scipy.stats import binom

from engine.precision import (
    PrecisionCheck,
    checks_from_json,
    checks_to_json,
    choose_precision,
    judge,
    loss_upper_bound,
    rows_needed,
    speeds_from_json,
)

HALF_A_POINT = 0.005


@composite
def counts(draw, most_rows=20_000):
    """Rows, lost, gained."""
    total = draw(integers(1, most_rows))
    lost = draw(integers(0, total))
    return total, lost, draw(integers(0, total - lost))


def check(rows: int, lost: int, gained: int) -> PrecisionCheck:
    return PrecisionCheck("int8", rows, lost, gained)


@given(counts())
def test_the_bound_lies_between_what_was_seen_and_everything(found):
    rows, lost, gained = found
    assert (lost - gained) / rows <= loss_upper_bound(rows, lost, gained) <= 1


@given(counts())
def test_one_more_row_lost_raises_the_bound_and_one_more_gained_lowers_it(found):
    rows, lost, gained = found
    assume(lost + gained < rows)
    bound = loss_upper_bound(rows, lost, gained)
    assert loss_upper_bound(rows, lost + 1, gained) >= bound - 1e-12
    assert loss_upper_bound(rows, lost, gained + 1) <= bound + 1e-12


@given(counts(), integers(1, 1000))
def test_more_rows_on_which_both_agree_lower_the_bound_of_a_loss(found, more):
    rows, lost, gained = found
    assume(lost >= gained)
    assert loss_upper_bound(rows + more, lost, gained) <= loss_upper_bound(rows, lost, gained) + 1e-12


@given(counts(), floats(0.5, 0.99))
def test_more_confidence_costs_a_higher_bound(found, confidence):
    assert loss_upper_bound(*found, confidence=confidence) <= loss_upper_bound(*found, confidence=0.995) + 1e-12


@given(counts(most_rows=3000))
def test_a_version_is_allowed_exactly_when_its_bound_is(found):
    verdict = judge(check(*found), HALF_A_POINT)
    assert verdict.allowed == (verdict.bound <= HALF_A_POINT)
    assert verdict.bound == loss_upper_bound(*found)


def test_impossible_counts_are_an_error():
    for rows, lost, gained in ((10, 11, 0), (10, 6, 5), (10, -1, 0)):
        with pytest.raises(ValueError, match="rows lost"):
            loss_upper_bound(rows, lost, gained)
    assert loss_upper_bound(0, 0, 0) == 1.0


def test_without_a_single_difference_635_rows_are_needed_for_half_a_point():
    """An exact test needs 598 (0.995^598 < 5 %), Tango's interval as it stands asks for only 539."""
    assert rows_needed(check(100, 0, 0), HALF_A_POINT) == 635
    assert loss_upper_bound(635, 0, 0) <= HALF_A_POINT < loss_upper_bound(634, 0, 0)


def test_the_bound_is_tangos_but_for_a_quarter_of_a_row():
    """Figures of Tango's own interval at lost + 0.25, by another way: his quadratic for the constrained estimate."""
    for rows, lost, gained in ((1000, 2, 0), (7500, 32, 21), (400, 12, 5)):
        bound = loss_upper_bound(rows, lost, gained)
        b, c = lost + 0.25, gained
        share = (
            sqrt(((2 * rows - b + c) * bound - b - c) ** 2 + 8 * rows * c * bound * (1 - bound))
            - ((2 * rows - b + c) * bound - b - c)
        ) / (4 * rows)
        score = (b - c - rows * bound) / sqrt(rows * (2 * share + bound * (1 - bound)))
        assert score == pytest.approx(-1.6449, abs=1e-3)


@pytest.mark.parametrize("max_loss", [0.002, 0.005, 0.02])
def test_a_precision_that_loses_just_as_much_as_may_be_lost_is_allowed_in_at_most_5_percent_of_checks(max_loss):
    """Exact: the probability of every outcome, summed; over row counts and over how often rows are gained."""
    worst = max(
        (_share_allowed(int(rows), max_loss, float(gained)), int(rows), float(gained))
        for rows in np.geomspace(1 / max_loss, 25 / max_loss, 45)
        for gained in (0.0, *np.geomspace(1e-4, 0.03, 7))
    )
    print(f"allowed by luck with a true loss of {max_loss}: at worst {worst[0]:.4f}, at {worst[1]} rows")
    assert worst[0] <= 0.05, worst


@pytest.mark.parametrize("gained", [0.0, 0.002, 0.01])
@pytest.mark.parametrize("rows", [300, 700, 1500, 4000])
def test_in_simulated_checks_a_true_loss_of_half_a_point_is_allowed_in_at_most_5_percent(rows, gained):
    runs, alpha = 4_000, 0.05
    rng = np.random.default_rng(rows)
    lost_share = HALF_A_POINT + gained
    drawn = rng.multinomial(rows, [lost_share, gained, 1 - lost_share - gained], size=runs)
    kinds, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    allowed = sum(
        int(n) for (lost, back), n in zip(kinds, times, strict=True) if judge(check(rows, lost, back), 0.005).allowed
    )
    noise = 3 * sqrt(runs * alpha * (1 - alpha))
    assert allowed <= runs * alpha + noise, f"{allowed} of {runs} allowed by luck"


def test_a_precision_that_loses_nothing_is_mostly_allowed_with_enough_rows():
    """Power: int8 and fp32 differ on 0.9 % of MiniLM's rows, and neither is better."""
    power = _share_allowed(4000, HALF_A_POINT, 0.0045, loss=0.0)
    assert power > 0.9, power


def test_verdicts_tell_their_figures_and_what_is_missing():
    assert judge(check(7500, 38, 30), HALF_A_POINT).why == (
        "int8 lost 38 and gained 30 of 7,500 rows against fp32: at most 0.30 points of accuracy lost with 95% "
        "confidence, 0.50 are allowed"
    )
    few = judge(check(300, 0, 0), HALF_A_POINT)
    assert not few.allowed
    assert few.why.endswith("at this rate 635 rows would be needed")
    bad = judge(check(1000, 30, 10), HALF_A_POINT)
    assert not bad.allowed
    assert bad.why.endswith("on these rows alone it lost 2.00")


def test_auto_takes_the_fastest_that_passed_and_is_worth_it():
    speeds = {"fp32": 4000.0, "bf16": 7600.0, "int8": 10_000.0}
    good, bad = check(2000, 0, 0), check(2000, 40, 0)
    both = {"int8": good, "bf16": PrecisionCheck("bf16", 2000, 0, 0)}
    assert _chosen("auto", speeds, both) == "int8"
    assert _chosen("auto", speeds, {**both, "int8": bad}) == "bf16"
    assert _chosen("auto", {"fp32": 4000.0, "int8": 4300.0}, both) == "fp32"
    assert _chosen("auto", {"fp32": 4000.0}, both) == "fp32"
    assert _chosen("auto", {}, both) == "fp32"
    assert _chosen("fp32", speeds, both) == "fp32"
    assert _chosen("bf16", speeds, both) == "bf16"
    assert _chosen("int8", {"fp32": 4000.0, "int8": 4300.0}, both) == "int8"


def test_fp32_serves_what_did_not_pass_and_says_why():
    speeds = {"fp32": 4000.0, "int8": 10_000.0}
    refused = choose_precision("int8", speeds=speeds, checks={"int8": check(2000, 40, 0)}, max_loss=HALF_A_POINT)
    assert (refused.precision, "lost 40" in refused.why) == ("fp32", True)
    unchecked = choose_precision("auto", speeds=speeds, checks={}, max_loss=HALF_A_POINT)
    assert unchecked.why == "int8 has not been checked on this version's own data"
    assert choose_precision("bf16", speeds=speeds, checks={}, max_loss=0.1).why == "bf16 cannot run here"


def test_checks_and_speeds_survive_the_store_and_unknown_precisions_are_left_alone():
    checks = {"int8": check(720, 2, 1)}
    kept = checks_to_json(checks)
    assert kept == {"int8": {"rows": 720, "lost": 2, "gained": 1}}
    assert checks_from_json({**kept, "fp4": {"rows": 1, "lost": 0, "gained": 0}}) == checks
    assert speeds_from_json({"fp32": 1.0, "fp4": 9.0}) == {"fp32": 1.0}


def _chosen(asked, speeds, checks) -> str:
    return choose_precision(asked, speeds=speeds, checks=checks, max_loss=HALF_A_POINT).precision


def _share_allowed(rows: int, max_loss: float, gained: float, *, loss: float | None = None) -> float:
    """Probability that a check of `rows` rows passes, when rows are gained at `gained` and lost at `loss` more."""
    lost_share = (max_loss if loss is None else loss) + gained
    total, most_lost = 0.0, -1
    for back in range(int(binom.ppf(1 - 1e-9, rows, gained)) + 1):
        while most_lost + 1 + back <= rows and loss_upper_bound(rows, most_lost + 1, back) <= max_loss:
            most_lost += 1
        if most_lost >= 0:
            total += binom.pmf(back, rows, gained) * binom.cdf(most_lost, rows - back, lost_share / (1 - gained))
    return float(total)

"""The gate's rules one by one, and its error rates by exact enumeration and by simulation with fixed seeds."""

import json
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from retrain.gate import (
    NO_ROWS,
    GateEvidence,
    GateRules,
    PairedRows,
    judge_candidate,
    mcnemar_p_value,
    paired_lower_bound,
    rows_needed_for_margin,
)

RULES = GateRules(margin=0.03, alpha=0.05, min_new_rows=30)


def paired(both, won, lost, neither, majority=0.2):
    """Rows counted by who was right."""
    production = [True] * both + [False] * won + [True] * lost + [False] * neither
    candidate = [True] * both + [True] * won + [False] * lost + [False] * neither
    return PairedRows(np.array(production, dtype=bool), np.array(candidate, dtype=bool), majority)


def drawn(rng, rows, production, candidate, disagreement, majority=0.2):
    """Rows of two versions with these true accuracies, exactly one of them right on a share `disagreement`."""
    won = (disagreement + candidate - production) / 2
    lost = disagreement - won
    both = production - lost
    return paired(*rng.multinomial(rows, [both, won, lost, 1 - both - won - lost]), majority=majority)


def first(right, wrong, majority):
    return GateEvidence(PairedRows(None, np.array([True] * right + [False] * wrong, dtype=bool), majority))


def rule(verdict, name):
    (found,) = [rule for rule in verdict.rules if rule.name == name]
    return found


def test_a_candidate_that_mends_the_new_rows_and_keeps_the_old_is_promoted_with_figures():
    evidence = GateEvidence(old=paired(600, 10, 12, 53), new=paired(60, 30, 2, 8))
    verdict = judge_candidate(evidence, RULES)
    assert verdict.outcome == "promote"
    assert verdict.promoted
    assert verdict.reason == (
        "accuracy on new rows 0.620 -> 0.900 (30 won, 2 lost, p < 0.001); "
        "old test rows 0.907 -> 0.904 (lower bound -0.016 within margin 0.030)"
    )
    assert [r.name for r in verdict.rules] == [
        "beats_majority_on_old",
        "beats_majority_on_new",
        "better_on_new",
        "not_worse_on_old",
    ]


def test_a_candidate_that_forgets_the_old_rows_is_rejected():
    verdict = judge_candidate(GateEvidence(old=paired(560, 5, 60, 50), new=paired(60, 30, 2, 8)), RULES)
    assert verdict.outcome == "reject"
    assert verdict.reason.startswith("old test rows 0.919 -> 0.837 (lower bound -0.1")
    assert "beyond margin 0.030" in verdict.reason
    assert rule(verdict, "better_on_new").passed


def test_a_candidate_that_is_no_better_on_new_rows_is_rejected():
    verdict = judge_candidate(GateEvidence(old=paired(600, 10, 12, 53), new=paired(60, 5, 5, 30)), RULES)
    assert verdict.outcome == "reject"
    assert verdict.reason == "accuracy on new rows 0.650 -> 0.650 (5 won, 5 lost, p = 0.623)"


def test_a_candidate_that_beats_production_but_not_the_constant_answer_is_rejected():
    new = paired(10, 40, 5, 45, majority=0.6)
    verdict = judge_candidate(GateEvidence(old=paired(600, 10, 12, 53), new=new), RULES)
    assert verdict.outcome == "reject"
    assert "new rows 0.500 does not beat the majority class at 0.600" in verdict.reason
    constant = judge_candidate(GateEvidence(old=paired(600, 0, 0, 0, majority=1.0), new=paired(60, 30, 2, 8)), RULES)
    assert not constant.promoted


def test_too_few_new_rows_reject_unless_the_date_alone_asked():
    old, new = paired(600, 10, 12, 53), paired(3, 20, 0, 6)
    verdict = judge_candidate(GateEvidence(old, new), RULES)
    assert verdict.reason == "not enough audit rows to judge: 29 new ones, at least 30 are needed"
    assert not judge_candidate(GateEvidence(old), RULES).promoted
    for few in (new, NO_ROWS):
        verdict = judge_candidate(GateEvidence(old, few, requires_improvement=False), RULES)
        assert verdict.promoted
        assert f"{few.rows} new audit rows are too few to judge on" in verdict.reason
        assert [r.name for r in verdict.rules] == ["beats_majority_on_old", "no_harm_on_new", "not_worse_on_old"]


def test_a_run_by_date_passes_an_equal_candidate_but_not_one_that_is_plainly_worse_on_new_rows():
    old = paired(600, 10, 12, 53)
    assert judge_candidate(GateEvidence(old, paired(60, 5, 5, 30), requires_improvement=False), RULES).promoted
    verdict = judge_candidate(GateEvidence(old, paired(60, 2, 30, 8), requires_improvement=False), RULES)
    assert verdict.reason == "accuracy on new rows 0.900 -> 0.620 (2 won, 30 lost, p < 0.001 of being worse)"


def test_a_first_version_only_has_to_beat_the_constant_answer():
    verdict = judge_candidate(first(90, 10, majority=0.4), RULES)
    assert verdict.promoted
    assert verdict.reason == "accuracy on 100 test rows 0.900 beats the majority class at 0.400 (p < 0.001)"
    assert not judge_candidate(first(45, 55, majority=0.4), RULES).promoted
    assert judge_candidate(first(0, 0, majority=0.0), RULES).reason == "there are no test rows to judge on"


def test_too_few_old_rows_are_told_with_the_number_that_is_needed():
    verdict = judge_candidate(GateEvidence(old=paired(48, 0, 0, 2), new=paired(60, 30, 2, 8)), RULES)
    assert "50 old test rows are too few to show it, at least 119 are needed" in verdict.reason
    assert judge_candidate(GateEvidence(old=paired(119, 0, 0, 0), new=paired(60, 30, 2, 8)), RULES).promoted
    assert not judge_candidate(GateEvidence(old=paired(118, 0, 0, 0), new=paired(60, 30, 2, 8)), RULES).promoted
    nothing = judge_candidate(GateEvidence(old=NO_ROWS, new=paired(60, 30, 2, 8)), RULES)
    assert "there are no old test rows to judge on" in nothing.reason


def test_no_margin_at_all_asks_for_an_improvement_on_old_rows_too():
    rules = GateRules(margin=0.0)
    assert rows_needed_for_margin(0.0, alpha=0.05) is None
    assert not judge_candidate(GateEvidence(old=paired(600, 12, 12, 53), new=paired(60, 30, 2, 8)), rules).promoted
    assert judge_candidate(GateEvidence(old=paired(600, 40, 12, 53), new=paired(60, 30, 2, 8)), rules).promoted


def test_evidence_that_does_not_pair_up_is_a_mistake():
    with pytest.raises(ValueError, match="3 production, 2 candidate"):
        PairedRows(np.ones(3, dtype=bool), np.ones(2, dtype=bool), 0.5)
    with pytest.raises(ValueError, match="not a share"):
        PairedRows(None, np.ones(2, dtype=bool), 1.5)


counts = st.integers(0, 80)


@given(counts, counts, counts, counts, counts, counts, st.floats(0, 1), st.booleans())
def test_a_verdict_on_anything_is_json_and_promotes_only_when_every_rule_holds(a, b, c, d, e, f, majority, improve):
    evidence = GateEvidence(paired(a, b, c, 0, majority), paired(d, e, f, 0, majority), improve)
    verdict = judge_candidate(evidence, RULES)
    told = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
    assert told["reason"]
    assert (told["outcome"] == "promote") == all(r["passed"] for r in told["rules"])


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 300), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_bound_lies_below_the_estimate_and_moves_as_it_should(won, lost, same, alpha):
    rows = won + lost + same + 1
    bound = paired_lower_bound(won, lost, rows, alpha=alpha)
    assert -1 <= bound < (won - lost) / rows + 1e-12
    assert paired_lower_bound(won + 1, lost, rows, alpha=alpha) >= bound - 1e-9
    assert paired_lower_bound(won, lost + 1, rows, alpha=alpha) <= bound + 1e-9
    assert paired_lower_bound(won, lost, rows, alpha=alpha / 2) <= bound
    assert paired_lower_bound(0, 0, 10 * rows, alpha=alpha) > paired_lower_bound(0, 0, rows, alpha=alpha)


@pytest.mark.parametrize("rows", [5, 50, 119, 5_000])
def test_without_discordant_rows_the_bound_solves_the_score_equation(rows):
    # Nothing won or lost: under a loss of d the lost rows are Binomial(rows, d), and none was seen.
    loss = -paired_lower_bound(0, 0, rows, alpha=0.05)
    assert rows * loss - 0.5 == pytest.approx(1.6448536 * sqrt(rows * loss * (1 - loss)), rel=1e-6)


def test_with_many_rows_the_bound_is_that_of_the_normal_approximation():
    won, lost, rows = 9_000, 1_000, 44_000
    difference, share = (won - lost) / rows, (won + lost) / rows
    wald = difference - 1.6448536 * sqrt((share - difference**2) / rows)
    assert paired_lower_bound(won, lost, rows, alpha=0.05) == pytest.approx(wald, abs=2e-5)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_test_on_new_rows_is_the_exact_binomial_one(won, lost):
    if won + lost == 0:
        assert mcnemar_p_value(0, 0) == 1.0
    else:
        known = binomtest(won, won + lost, 0.5, alternative="greater").pvalue
        assert mcnemar_p_value(won, lost) == pytest.approx(known)


def exact_size(rows, margin, won_share, alpha):
    """Probability that rule 2 passes a candidate that loses exactly `margin`; every outcome counted, none drawn."""
    lost_share, size = won_share + margin, 0.0
    for won in range(rows + 1):
        chance = binom.pmf(won, rows, won_share)
        if chance < 1e-10:
            continue
        low, high = -1, rows - won + 1
        while high - low > 1:  # the bound falls with every lost row: look for the last count that passes
            lost = (low + high) // 2
            if paired_lower_bound(won, lost, rows, alpha=alpha) > -margin:
                low = lost
            else:
                high = lost
        size += chance * binom.cdf(low, rows - won, lost_share / (1 - won_share))
    return size


@pytest.mark.parametrize("rows", [60, 90, 120, 150, 200, 300, 500])
def test_a_candidate_worse_by_the_margin_on_old_rows_passes_at_most_alpha_by_enumeration(rows):
    for won_share in (0.0, 0.002, 0.01, 0.03, 0.1):
        for margin in (0.02, 0.03, 0.05):
            size = exact_size(rows, margin, won_share, alpha=0.05)
            assert size <= 0.05, f"{rows} rows, {won_share} won, margin {margin}: passes with {size:.4f}"


RUNS = 2_000


def allowed(runs, alpha):
    """Counts up to three standard errors above alpha; a right gate exceeds this in about one of 700 tests."""
    return runs * alpha + 3 * sqrt(runs * alpha * (1 - alpha))


def promoted(*, old, new, seed, runs=RUNS):
    rng = np.random.default_rng(seed)
    return sum(judge_candidate(GateEvidence(drawn(rng, *old), drawn(rng, *new)), RULES).promoted for _ in range(runs))


@pytest.mark.parametrize(("new_rows", "disagreement"), [(40, 0.3), (75, 0.1), (400, 0.06)])
def test_an_equal_candidate_is_promoted_in_at_most_5_percent_of_runs(new_rows, disagreement):
    count = promoted(old=(2_000, 0.9, 0.9, 0.02), new=(new_rows, 0.8, 0.8, disagreement), seed=new_rows)
    print(f"equal candidate, {new_rows} new rows: promoted in {count} of {RUNS}")
    assert count <= allowed(RUNS, 0.05), f"{count} of {RUNS} promoted by luck"


def test_a_candidate_better_on_new_but_worse_by_the_margin_on_old_is_promoted_in_at_most_5_percent_of_runs():
    count = promoted(old=(675, 0.90, 0.87, 0.07), new=(100, 0.6, 0.9, 0.36), seed=1)
    print(f"worse by the margin: promoted in {count} of {RUNS}")
    assert count <= allowed(RUNS, 0.05), f"{count} of {RUNS} promoted"
    assert count > 0, "the rule is so strict that the simulation shows nothing"


def test_a_candidate_that_mends_a_real_loss_is_promoted_nearly_always():
    count = promoted(old=(675, 0.91, 0.91, 0.03), new=(75, 0.62, 0.91, 0.35), seed=2, runs=500)
    print(f"clearly better: promoted in {count} of 500")
    assert count >= 0.95 * 500, f"promoted in {count} of 500 runs only"


def test_a_constant_classifier_is_promoted_as_a_first_version_in_at_most_5_percent_of_runs():
    rng = np.random.default_rng(3)
    right = rng.binomial(200, 0.4, size=RUNS)
    count = sum(judge_candidate(first(int(k), 200 - int(k), majority=0.4), RULES).promoted for k in right)
    assert count <= allowed(RUNS, 0.05), f"{count} of {RUNS} promoted by luck"

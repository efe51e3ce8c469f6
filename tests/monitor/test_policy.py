from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.accuracy import Estimate, wilson
from monitor.episode import SinceDrift
from monitor.policy import MOST_ASKED_FOR, Action, PolicyFacts, RetrainPolicy, decide_retrain
from store.feedback import AuditVerdict

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
POLICY = RetrainPolicy()
EXACT = Estimate(0.93, 0.93, 0.93, 1_000_000)
"""As if of endlessly many rows."""
PLANNED = POLICY.labels_to_tell_a_loss(EXACT)
CALM = PolicyFacts(
    drift_confirmed=False,
    drifted=(),
    since_drift=None,
    validation=EXACT,
    labelled=None,
    estimated=None,
    estimated_before=0.91,
    new_labels=600,
    new_audit_labels=300,
    trained_at=NOW - timedelta(days=3),
    last_run_at=NOW - timedelta(days=3),
    asked_at=(),
    open_run=None,
)
LOSS = replace(CALM, labelled=wilson(0.80, 400, rows=400))
BEGAN = NOW - timedelta(hours=6)


def since_drift(right: int, wrong: int = 0, waiting: int = 0) -> SinceDrift:
    verdicts = [AuditVerdict(number < right, 0.02) for number in range(right + wrong)]
    return SinceDrift(BEGAN, PLANNED, tuple(verdicts), waiting)


DRIFT = replace(CALM, drift_confirmed=True, drifted=("embedding",), since_drift=since_drift(0, waiting=500))

shares = st.floats(0, 1)
estimates = st.none() | st.builds(lambda share, rows: wilson(share, rows, rows=rows), shares, st.integers(1, 3000))
facts_of_all_kinds = st.builds(
    PolicyFacts,
    drift_confirmed=st.booleans(),
    drifted=st.just(("length",)),
    since_drift=st.none() | st.builds(since_drift, st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)),
    validation=estimates,
    labelled=estimates,
    estimated=estimates,
    estimated_before=st.none() | shares,
    new_labels=st.integers(0, 1200),
    new_audit_labels=st.integers(0, 600),
    can_build_on=st.booleans(),
    base_retired=st.booleans(),
    trained_at=st.integers(0, 60).map(lambda days: NOW - timedelta(days=days)),
    last_run_at=st.none() | st.integers(0, 72).map(lambda hours: NOW - timedelta(hours=hours)),
    asked_at=st.lists(st.integers(0, 400).map(lambda hours: NOW - timedelta(hours=hours)), max_size=4),
    open_run=st.none() | st.just("r1"),
    nothing_new_since_rejection=st.booleans(),
)


def test_a_calm_model_is_left_alone() -> None:
    decision = decide_retrain(CALM, POLICY, NOW)
    assert (decision.action, decision.reasons) == (Action.NONE, ())
    assert decision.summary == "nothing calls for a run"


def test_a_loss_of_accuracy_retrains() -> None:
    decision = decide_retrain(LOSS, POLICY, NOW)
    assert (decision.action, decision.triggers) == (Action.RETRAIN, ("accuracy",))
    assert decision.summary.endswith("below validation accuracy 0.930; 600 new labelled rows")


def test_drift_alone_asks_for_labels_and_trains_nothing() -> None:
    decision = decide_retrain(replace(DRIFT, since_drift=since_drift(40, 2, waiting=500)), POLICY, NOW)
    assert (decision.action, decision.triggers, decision.blockers) == (Action.NONE, ("drift",), ("unmeasured",))
    assert decision.labels_wanted is not None
    assert (decision.labels_wanted.planned, decision.labels_wanted.labelled) == (PLANNED, 42)
    assert decision.summary == (
        f"drift confirmed (embedding), but whether it costs accuracy is not known: 42 of {PLANNED} labels are there "
        f"that would tell, please label {PLANNED - 42} more rows of the audit sample answered since 2026-11-02 06:00 "
        "UTC (they wait for one)"
    )
    scarce = decide_retrain(replace(DRIFT, since_drift=since_drift(40, 2, waiting=7)), POLICY, NOW)
    assert "(7 wait for one)" in scarce.summary


def test_drift_without_loss_trains_nothing_and_says_so() -> None:
    decision = decide_retrain(replace(DRIFT, since_drift=since_drift(PLANNED - 12, 12)), POLICY, NOW)
    assert (decision.action, decision.blockers, decision.labels_wanted) == (Action.NONE, ("no_loss",), None)
    assert "is no loss against validation accuracy 0.930" in decision.summary


def test_drift_with_a_loss_trains() -> None:
    """Though the newest rows of all, most of them from before the drift, show none."""
    lost = replace(DRIFT, since_drift=since_drift(0, PLANNED), labelled=wilson(0.93, 1000, rows=1000))
    decision = decide_retrain(lost, POLICY, NOW)
    assert (decision.action, decision.triggers) == (Action.RETRAIN, ("drift", "accuracy"))


def test_drift_is_judged_once_by_the_rows_that_were_planned() -> None:
    """Whoever looks again with every further label finds a loss sooner or later."""
    calm = since_drift(PLANNED)
    later = replace(calm, verdicts=(*calm.verdicts, *since_drift(0, 900).verdicts))
    assert later.accuracy == wilson(1.0, PLANNED, rows=PLANNED)
    assert replace(later, measured=(first := wilson(0.9, 60, rows=60))).accuracy == first, "what came out stays"


def test_where_too_many_rows_were_skipped_what_is_there_must_do() -> None:
    used_up = replace(since_drift(90, 3), complete=True)
    decision = decide_retrain(replace(DRIFT, since_drift=used_up), POLICY, NOW)
    assert (decision.blockers, decision.labels_wanted) == (("no_loss",), None)
    few = replace(since_drift(45), complete=True)
    for since in (replace(used_up, waiting=1), replace(used_up, complete=False), few):
        assert decide_retrain(replace(DRIFT, since_drift=since), POLICY, NOW).blockers == ("unmeasured",)


def test_as_many_labels_are_asked_for_as_tell_a_loss_from_luck() -> None:
    """Simulated: 4,000 samples of the planned size each; a share of 0.80 has a standard error of 0.006."""
    rng = np.random.default_rng(3)
    for accuracy in (0.70, 0.85, 0.93, 0.98):
        exact = Estimate(accuracy, accuracy, accuracy, 1_000_000)
        planned = POLICY.labels_to_tell_a_loss(exact)

        def found(true: float, planned: int = planned, validation: Estimate = exact) -> float:
            sizes = rng.binomial(planned, true, 4_000)
            facts = replace(DRIFT, validation=validation)
            seen = {}
            for right in {int(size) for size in sizes}:
                measured = replace(since_drift(right, planned - right), planned=planned)
                decision = decide_retrain(replace(facts, since_drift=measured), POLICY, NOW)
                seen[right] = "accuracy" in decision.triggers
            return float(np.mean([seen[int(size)] for size in sizes]))

        assert found(accuracy) < 0.05
        assert found(accuracy * (1 - 1.5 * POLICY.accuracy_drop)) > 0.75


def test_a_validation_accuracy_of_few_rows_is_no_proof_of_a_loss() -> None:
    """Both accuracies are 0.85 in truth. 2,000 pairs: 5 % + 3 sigma is 6.5 %."""
    rng, losses, pairs = np.random.default_rng(4), 0, 2_000
    for _ in range(pairs):
        validation = wilson(rng.binomial(150, 0.85) / 150, 150, rows=150)
        planned = POLICY.labels_to_tell_a_loss(validation)
        right = int(rng.binomial(planned, 0.85))
        measured = replace(since_drift(right, planned - right), planned=planned)
        facts = replace(DRIFT, validation=validation, since_drift=measured)
        losses += "accuracy" in decide_retrain(facts, POLICY, NOW).triggers
    assert 0 < losses / pairs < 0.065


def test_looking_again_with_every_label_finds_no_loss_where_none_is() -> None:
    """500 streams of 1,500 labels of the newest 500 rows, looked at after every tenth: at most 2 % + 3 sigma = 4 %."""
    rng, streams, found = np.random.default_rng(5), 500, 0
    for _ in range(streams):
        right = rng.random(1_500) < 0.93
        for end in range(10, 1_501, 10):
            newest = right[max(0, end - 500) : end]
            labelled = wilson(float(newest.mean()), len(newest), rows=len(newest))
            if "accuracy" in decide_retrain(replace(CALM, labelled=labelled), POLICY, NOW).triggers:
                found += 1
                break
    assert found / streams <= 0.04


@given(validation=shares, drop=st.floats(0.001, 0.5))
def test_what_is_asked_for_can_be_done(validation: float, drop: float) -> None:
    known = wilson(validation, 200, rows=200)
    assert 50 <= RetrainPolicy(accuracy_drop=drop).labels_to_tell_a_loss(known) <= MOST_ASKED_FOR


def test_of_more_labels_than_were_counted_it_is_said_that_there_may_be_more() -> None:
    decision = decide_retrain(replace(LOSS, new_labels=POLICY.count_to), POLICY, NOW)
    assert decision.summary.endswith("; 5000 or more new labelled rows")
    assert RetrainPolicy(min_labels=9_000).count_to == 9_000, "or so many would never be there"


def test_flagged_labels_alone_cannot_pass_the_gate_so_they_wait() -> None:
    decision = decide_retrain(replace(LOSS, new_audit_labels=12), POLICY, NOW)
    assert (decision.action, decision.blockers) == (Action.ALERT, ("audit",))
    assert "only 12 of 200 audit rows" in decision.summary


def test_drift_without_loss_asks_for_no_improvement_when_the_date_calls() -> None:
    due = replace(DRIFT, trained_at=NOW - timedelta(days=31), new_audit_labels=3)
    decision = decide_retrain(due, POLICY, NOW)
    assert (decision.action, decision.triggers) == (Action.RETRAIN, ("drift", "date"))
    assert not decision.requires_improvement
    assert decision.labels_wanted is not None, "what the drift costs is still worth knowing"


def test_the_date_alone_does_not_ask_for_audit_rows() -> None:
    old = replace(CALM, new_audit_labels=0, trained_at=NOW - timedelta(days=31))
    assert decide_retrain(old, POLICY, NOW).action is Action.RETRAIN


def test_an_imported_version_has_nothing_to_build_on() -> None:
    decision = decide_retrain(replace(LOSS, can_build_on=False), POLICY, NOW)
    assert (decision.action, decision.blockers) == (Action.ALERT, ("no_snapshot",))


def test_what_is_missing_is_said() -> None:
    decision = decide_retrain(replace(LOSS, new_labels=132), POLICY, NOW)
    assert (decision.action, decision.blockers) == (Action.ALERT, ("labels",))
    assert decision.summary.endswith(", but only 132 of 500 labelled rows are new")


def test_an_open_run_and_the_cool_down_hold_the_next_one_back() -> None:
    decision = decide_retrain(replace(LOSS, open_run="r7"), POLICY, NOW)
    assert decision.summary.endswith(", but run r7 is open")
    decision = decide_retrain(replace(LOSS, last_run_at=NOW - timedelta(hours=23)), POLICY, NOW)
    assert decision.blockers == ("cooldown",)
    assert decision.reasons[1] == "the cool-down lasts until 2026-11-02 13:00 UTC"
    assert decide_retrain(replace(LOSS, last_run_at=NOW - timedelta(hours=24)), POLICY, NOW).action is Action.RETRAIN


def test_the_budget_of_a_week_holds_the_next_run_back_until_it_has_room() -> None:
    days = [NOW - timedelta(days=days) for days in (6, 4, 2)]
    decision = decide_retrain(replace(LOSS, asked_at=days), POLICY, NOW)
    assert decision.blockers == ("budget",)
    assert decision.reasons[1] == "3 runs a week are allowed, the next one from 2026-11-03 12:00 UTC"
    assert decide_retrain(replace(LOSS, asked_at=days), POLICY, NOW + timedelta(days=1)).action is Action.RETRAIN
    assert decide_retrain(replace(LOSS, asked_at=days), replace(POLICY, runs_a_week=4), NOW).action is Action.RETRAIN


def test_the_same_labels_are_not_tried_again_after_the_gate_rejected_what_they_taught() -> None:
    decision = decide_retrain(replace(LOSS, nothing_new_since_rejection=True), POLICY, NOW)
    assert decision.blockers == ("nothing_new",)


def test_a_run_is_due_after_a_month_in_any_case() -> None:
    month_old = replace(CALM, trained_at=NOW - timedelta(days=30))
    decision = decide_retrain(month_old, POLICY, NOW)
    assert (decision.action, decision.triggers) == (Action.RETRAIN, ("date",))
    assert "30 days ago, one is due every 30 days" in decision.summary


@pytest.mark.parametrize(
    ("value", "rows", "falls"),
    [
        (0.87, 400, True),  # 6 % below, and surely below
        (0.90, 4000, False),  # surely below, but only 3 %
        (0.85, 12, False),  # 9 % below by a dozen labels: luck
        (0.93, 400, False),
    ],
)
def test_accuracy_calls_for_a_run_when_the_loss_is_large_and_real(value: float, rows: int, falls: bool) -> None:
    decision = decide_retrain(replace(CALM, labelled=wilson(value, rows, rows=rows)), POLICY, NOW)
    assert ("accuracy" in decision.triggers) == falls


def test_an_alert_goes_out_below_90_percent_of_validation_even_when_nothing_can_be_trained() -> None:
    low = replace(CALM, labelled=wilson(0.75, 200, rows=200), new_labels=200)
    decision = decide_retrain(low, POLICY, NOW)
    assert (decision.action, decision.alert) == (Action.ALERT, True)
    assert decision.reasons[-1] == (
        "labelled accuracy 0.750 (0.686 to 0.805, 200 rows) is below 90% of validation accuracy 0.930"
    )


def test_labels_are_believed_before_estimates() -> None:
    unsure = replace(CALM, estimated=wilson(0.70, 500, rows=500))
    assert decide_retrain(unsure, POLICY, NOW).action is Action.ALERT
    assert decide_retrain(replace(unsure, labelled=wilson(0.93, 300, rows=300)), POLICY, NOW).action is Action.NONE


def test_an_estimate_is_held_against_the_same_estimate_of_the_reference() -> None:
    """A model that is never sure of itself is no news; one that grew unsure is."""
    modest = replace(CALM, estimated=wilson(0.80, 500, rows=500), estimated_before=0.81)
    assert decide_retrain(modest, POLICY, NOW).action is Action.NONE
    grown_unsure = replace(modest, estimated_before=0.93)
    assert decide_retrain(grown_unsure, POLICY, NOW).reasons == (
        "estimated accuracy 0.800 (0.763 to 0.833, 500 rows) is below 90% of the 0.930 of the reference",
    )


@given(facts=facts_of_all_kinds)
def test_a_run_needs_a_cause_labels_rest_and_no_run_before_it(facts: PolicyFacts) -> None:
    decision = decide_retrain(facts, POLICY, NOW)
    retrains = decision.action is Action.RETRAIN
    if retrains:
        assert decision.triggers
        assert facts.new_labels >= POLICY.min_labels
        assert facts.open_run is None
        assert facts.last_run_at is None or NOW - facts.last_run_at >= POLICY.cooldown
        assert sum(NOW - at < timedelta(days=7) for at in facts.asked_at) < POLICY.runs_a_week
        assert not facts.nothing_new_since_rejection
    assert retrains == bool(decision.triggers and not decision.blockers)
    assert len(decision.reasons) == len(decision.triggers) + len(decision.blockers) + decision.alert
    assert decision.summary


@given(facts=facts_of_all_kinds)
def test_an_estimate_alone_never_trains(facts: PolicyFacts) -> None:
    without = decide_retrain(replace(facts, estimated=None), POLICY, NOW)
    assert decide_retrain(facts, POLICY, NOW).triggers == without.triggers


@given(facts=facts_of_all_kinds, more=st.integers(0, 500))
def test_more_labels_never_hold_a_run_back(facts: PolicyFacts, more: int) -> None:
    if decide_retrain(facts, POLICY, NOW).action is Action.RETRAIN:
        richer = replace(facts, new_labels=facts.new_labels + more)
        assert decide_retrain(richer, POLICY, NOW).action is Action.RETRAIN


def test_nothing_is_trained_on_a_retired_base() -> None:
    decision = decide_retrain(replace(LOSS, base_retired=True), POLICY, NOW)
    assert decision.action is Action.ALERT
    assert decision.blockers == ("base_retired",)
    assert decision.summary.endswith("but its base is retired")

import pytest

from monitor.decision import DriftDecision, Verdict
from monitor.policy import Action, PolicyDecision
from monitor.story import concept_line, drift_line, policy_lines

WAITING = PolicyDecision(
    Action.NONE, False, ("drift",), ("labels",), ("drift confirmed", "only 132 of 500"), "not retrained: ... 132 of 500"
)


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (None, "stable", None),
        (None, "suspected", "drift_suspected"),
        ("stable", "suspected", "drift_suspected"),
        ("suspected", "suspected", None),
        ("suspected", "drift", "drift_confirmed"),
        (None, "drift", "drift_confirmed"),
        ("drift", "drift", None),
        ("drift", "suspected", "drift_suspected"),
        ("drift", "stable", "drift_over"),
        ("suspected", "stable", "drift_not_confirmed"),
        ("stable", "stable", None),
        ("drift", "not_enough_data", None),
    ],
)
def test_a_line_is_added_when_the_verdict_changes(before: str | None, now: str, kind: str | None) -> None:
    line = drift_line(Verdict(before) if before else None, DriftDecision(Verdict(now), (), {}, "because"))
    assert (line[0] if line else None) == kind
    assert line is None or line[1].endswith("because")


def test_waiting_for_labels_is_told_once() -> None:
    assert policy_lines({}, WAITING) == [("retrain_withheld", "not retrained: ... 132 of 500")]
    assert policy_lines(WAITING.as_dict(), WAITING) == []


def test_another_reason_to_wait_is_told() -> None:
    cooling = PolicyDecision(Action.NONE, False, ("drift",), ("cooldown",), ("a", "b"), "not retrained: cool-down")
    assert policy_lines(WAITING.as_dict(), cooling) == [("retrain_withheld", "not retrained: cool-down")]


def test_concept_drift_is_told_when_it_begins_and_when_it_ends() -> None:
    calm = DriftDecision(Verdict.STABLE, (), {}, "calm")
    found = DriftDecision(Verdict.STABLE, ("concept",), {}, "calm", concept="so few are right")
    assert concept_line((), found) == ("concept_drift", "so few are right")
    assert concept_line(("concept",), found) is None
    over = concept_line(("concept",), calm)
    assert over is not None
    assert over[0] == "concept_drift_over"
    assert concept_line((), calm) is None


def test_an_alert_is_told_when_it_begins_and_when_it_ends() -> None:
    alert = PolicyDecision(Action.ALERT, True, (), (), ("accuracy is low",), "accuracy is low")
    calm = PolicyDecision(Action.NONE, False, (), (), (), "nothing calls for a run")
    assert policy_lines({}, alert) == [("accuracy_alert", "accuracy is low")]
    assert policy_lines(alert.as_dict(), alert) == []
    assert [kind for kind, _ in policy_lines(alert.as_dict(), calm)] == ["accuracy_recovered"]

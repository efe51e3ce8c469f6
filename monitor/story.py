"""Which lines a check adds to the story of its model: one when something changes, none when all goes on as before."""

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.decision import CONCEPT, DriftDecision, Verdict
from monitor.policy import Action, PolicyDecision


def drift_line(before: Verdict | None, decision: DriftDecision) -> tuple[str, str] | None:
    """(kind, message) of the event, if any. before: verdict of the last check that had enough data."""
    match before, decision.verdict:
        case (_, Verdict.NOT_ENOUGH_DATA):
            return None
        case (Verdict.SUSPECTED, Verdict.SUSPECTED) | (Verdict.DRIFT, Verdict.DRIFT):
            return None
        case (_, Verdict.SUSPECTED):
            return "drift_suspected", decision.reason
        case (_, Verdict.DRIFT):
            return "drift_confirmed", decision.reason
        case (Verdict.DRIFT, _):
            return "drift_over", decision.reason
        case (Verdict.SUSPECTED, _):
            return "drift_not_confirmed", decision.reason
    return None


def concept_line(before: Sequence[str], decision: DriftDecision) -> tuple[str, str] | None:
    """(kind, message) of the event, if any. before: kinds of drift that the last check named."""
    if decision.concept is not None and CONCEPT not in before:
        return "concept_drift", decision.concept
    if decision.concept is None and CONCEPT in before:
        return "concept_drift_over", "labels do not show it any more"
    return None


def policy_lines(before: Mapping[str, Any], policy: PolicyDecision) -> list[tuple[str, str]]:
    """(kind, message) of the events. before: `Check.decision` of the last check, empty if there is none.

    Compared are the kinds of the reasons, not their words: "131 of 500 labelled rows" after "130 of 500" is no news.
    """
    lines = []
    if policy.alert and not before.get("alert", False):
        lines.append(("accuracy_alert", policy.reasons[-1]))
    if before.get("alert", False) and not policy.alert:
        lines.append(("accuracy_recovered", "accuracy is above the alert line again"))
    known = (before.get("triggers"), before.get("blockers"))
    if policy.action is Action.RETRAIN:
        lines.append(("retrain_decided", policy.summary))
    elif policy.triggers and known != (list(policy.triggers), list(policy.blockers)):
        lines.append(("retrain_withheld", policy.summary))
    return lines

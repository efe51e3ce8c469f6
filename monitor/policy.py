"""The retrain policy: facts in, a written decision out. Pure, like every decision here.

Something must call for a run (a proven loss of accuracy, or the date), and nothing may stand in the way (too few
labels, the cool-down, the budget, an open run). Both halves are said aloud: a person who asks at 3 a.m. why nothing was
trained reads what was missing.

Drift alone is no reason: other inputs may be answered as well as the old ones. It makes the accuracy worth measuring,
so the policy asks for as many labels as can tell a loss, from the audit sample of what was answered since the drift
began. They are looked at once, when all are there: whoever looks again at every label finds a loss sooner or later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil, hypot
from typing import Any

from monitor.accuracy import Z_95, Estimate
from monitor.episode import FEWEST_LABELS, SinceDrift
from store.review import WantedLabels

COUNT_TO = 5_000
"""New labels are counted up to here, or to what a policy asks for if that is more: a check must not take the longer the
more labels there are, and beyond what is asked for their number changes nothing."""
MOST_ASKED_FOR = 2_000
"""Labels that people are asked for at once; a version that is rarely right would want more to tell a loss from luck."""
_MANY_LOOKS = 3.3
"""Standard errors, where each check looks anew: one in two thousand looks is wrong."""
_WEEK = timedelta(days=7)


class Action(StrEnum):
    NONE = "none"
    ALERT = "alert"
    RETRAIN = "retrain"


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    min_labels: int = 500
    min_audit_labels: int = 200
    """New audit rows without which the gate could not judge: 15 % of them are its test rows, and it wants 30."""
    cooldown: timedelta = timedelta(days=1)
    runs_a_week: int = 3
    """Runs that the policy may ask for in any seven days."""
    accuracy_drop: float = 0.05
    """Relative loss against validation accuracy that calls for a run."""
    every: timedelta = timedelta(days=30)
    alert_ratio: float = 0.90
    """Share of validation accuracy below which people are alerted."""

    @property
    def count_to(self) -> int:
        """How many new labels are told apart from more."""
        return max(COUNT_TO, self.min_labels, self.min_audit_labels)

    def labels_to_tell_a_loss(self, validation: Estimate) -> int:
        """How many see a loss half as large again as `accuracy_drop` in four cases of five.

        Two things must then happen (`_is_a_loss`): the measured accuracy lies at or below the line, half an
        `accuracy_drop` above the true one (0.84 standard errors), and surely below validation, one and a half of it
        above (0.84 + 1.96 of them). The second wants more rows. Validation has an error of its own, which no label
        makes smaller: for that at most twice as many are asked for. Where a version is rarely right,
        `MOST_ASKED_FOR` sees less.
        """
        drop = max(self.accuracy_drop * validation.value, 1e-3)
        true = max(validation.value - 1.5 * drop, 0.0)
        allowed = (1.5 * drop / (0.84 + Z_95)) ** 2
        known = ((validation.value - validation.low) / Z_95) ** 2
        rows = true * (1 - true) / max(allowed - known, allowed / 2)
        return min(max(ceil(rows), FEWEST_LABELS), MOST_ASKED_FOR)


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What is known of the version in production."""

    drift_confirmed: bool
    drifted: tuple[str, ...]
    """Signals that drifted, for the sentence."""
    since_drift: SinceDrift | None
    """None unless drift is confirmed and there is a validation accuracy."""
    validation: Estimate | None
    """Accuracy on its own validation rows; None without a reference."""
    labelled: Estimate | None
    """Accuracy on the audit sample."""
    estimated: Estimate | None
    """Accuracy as the calibrated confidence has it."""
    estimated_before: float | None
    """What the same estimate says of the reference: calibration is never perfect, so like is compared with like."""
    new_labels: int
    """Labelled rows that came after the snapshot of the version closed, up to RetrainPolicy.count_to."""
    new_audit_labels: int
    """Those of them that were drawn at random: only they can show the gate that a candidate is better."""
    trained_at: datetime
    """When the version was made, or a later run had its verdict."""
    last_run_at: datetime | None
    """When the newest run of the model was asked for or, if it ended, ended."""
    asked_at: Sequence[datetime]
    """When the policy asked for runs; the newest `runs_a_week` times suffice."""
    open_run: str | None
    can_build_on: bool = True
    """Whether the version has a snapshot; one that was imported as an adapter has none."""
    base_retired: bool = False
    """Nothing new is trained on the version's base."""
    nothing_new_since_rejection: bool = False
    """The newest run was rejected by the gate, and not one label came since."""


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    action: Action
    alert: bool
    """Accuracy is below the alert line, whatever else was decided."""
    triggers: tuple[str, ...]
    """What calls for a run: drift, accuracy, date."""
    blockers: tuple[str, ...]
    """What stands in the way: unmeasured, no_loss; base_retired, no_snapshot, open_run, cooldown, budget, labels,
    audit, nothing_new."""
    reasons: tuple[str, ...]
    """One phrase for each trigger, each blocker and the alert, in this order."""
    summary: str
    """The whole of it as one sentence."""
    labels_wanted: WantedLabels | None = None
    """What would tell whether a drift costs accuracy."""

    @property
    def requires_improvement(self) -> bool:
        """Whether a run must make the version better: not if nothing was lost."""
        return "accuracy" in self.triggers

    def as_dict(self) -> dict[str, Any]:
        return {
            "action": self.action.value,
            "alert": self.alert,
            "triggers": list(self.triggers),
            "blockers": list(self.blockers),
            "labels_wanted": self.labels_wanted.as_dict() if self.labels_wanted else None,
            "reasons": list(self.reasons),
            "summary": self.summary,
        }


def decide_retrain(facts: PolicyFacts, policy: RetrainPolicy, now: datetime) -> PolicyDecision:
    triggers = _triggers(facts, policy, now)
    if list(triggers) == ["drift"]:
        blockers = _no_reason(facts)
    else:
        blockers = _blockers(facts, policy, now, improve="accuracy" in triggers) if triggers else {}
    alert = accuracy_alert(facts, policy)
    if triggers and not blockers:
        action = Action.RETRAIN
        or_more = " or more" if facts.new_labels >= policy.count_to else ""
        summary = f"{_joined(triggers)}; {facts.new_labels}{or_more} new labelled rows"
    elif triggers:
        action = Action.ALERT if alert else Action.NONE
        summary = f"{_joined(triggers)}, but {_joined(blockers)}"
    else:
        action = Action.ALERT if alert else Action.NONE
        summary = alert or "nothing calls for a run"
    phrases = (*triggers.values(), *blockers.values(), *([alert] if alert else []))
    wanted = facts.since_drift.wanted if facts.since_drift else None
    return PolicyDecision(action, alert is not None, tuple(triggers), tuple(blockers), phrases, summary, wanted)


def _no_reason(facts: PolicyFacts) -> dict[str, str]:
    """Why drift alone calls for no run."""
    since, validation = facts.since_drift, facts.validation
    if since is None or validation is None:
        return {"unmeasured": "whether it costs accuracy is not known, and without validation rows cannot be"}
    wanted = since.wanted
    if wanted is None:
        told = f"accuracy since then, {since.accuracy}, is no loss against validation accuracy {validation.value:.3f}"
        return {"no_loss": told}
    missing = wanted.planned - wanted.labelled
    there = f"{wanted.waiting} wait for one" if wanted.waiting < missing else "they wait for one"
    return {
        "unmeasured": f"whether it costs accuracy is not known: {wanted.labelled} of {wanted.planned} labels are "
        f"there that would tell, please label {missing} more rows of the audit sample answered since "
        f"{wanted.since:%Y-%m-%d %H:%M} UTC ({there})"
    }


def accuracy_alert(facts: PolicyFacts, policy: RetrainPolicy) -> str | None:
    """The alert as a phrase, or None.

    Labels are believed before estimates, once there are enough. An estimate has no labels behind it, so its whole
    interval must lie below the line; a labelled accuracy must lie below it, and its interval below validation.
    """
    below = f"is below {policy.alert_ratio:.0%} of"
    labelled, validation = facts.labelled, facts.validation
    if labelled is not None and labelled.rows >= FEWEST_LABELS and validation is not None:
        if labelled.value < policy.alert_ratio * validation.value and labelled.high < validation.value:
            return f"labelled accuracy {labelled} {below} validation accuracy {validation.value:.3f}"
        return None
    if facts.estimated is None or facts.estimated_before is None:
        return None
    if facts.estimated.high < policy.alert_ratio * facts.estimated_before:
        return f"estimated accuracy {facts.estimated} {below} the {facts.estimated_before:.3f} of the reference"
    return None


def _triggers(facts: PolicyFacts, policy: RetrainPolicy, now: datetime) -> dict[str, str]:
    found = {}
    if facts.drift_confirmed:
        found["drift"] = f"drift confirmed ({', '.join(facts.drifted)})" if facts.drifted else "drift confirmed"
    fell = _fallen(facts, policy)
    if fell is not None and facts.validation is not None:
        found["accuracy"] = (
            f"labelled accuracy {fell} fell more than {policy.accuracy_drop:.0%} "
            f"below validation accuracy {facts.validation.value:.3f}"
        )
    age = now - facts.trained_at
    if age >= policy.every:
        found["date"] = f"the last training was {_days(age)} ago, one is due every {_days(policy.every)}"
    return found


def _fallen(facts: PolicyFacts, policy: RetrainPolicy) -> Estimate | None:
    """A measured accuracy that is a loss: since a drift began, which is measured once, or of the newest rows, at which
    every check looks again; so these must be surer."""
    if facts.validation is None:
        return None
    once = facts.since_drift.accuracy if facts.since_drift else None
    if once is not None and _is_a_loss(once, facts.validation, policy, errors=Z_95):
        return once
    newest = facts.labelled
    if newest is None or newest.rows < FEWEST_LABELS:
        return None
    return newest if _is_a_loss(newest, facts.validation, policy, errors=_MANY_LOOKS) else None


def _is_a_loss(measured: Estimate, validation: Estimate, policy: RetrainPolicy, *, errors: float) -> bool:
    """The loss is as large as the policy asks (point estimate), and it is real: by so many standard `errors` of the
    difference, those of either side from its own interval (Newcombe 1998, Statistics in Medicine 17:873).

    The point alone would retrain on a dozen unlucky labels; asking for a loss that is surely 5 % would wait for some
    1,300 labels to see one of 7 %, by when the alert is long out. A wrong call costs one gated training.
    """
    apart = hypot(measured.high - measured.value, validation.value - validation.low) * errors / Z_95
    return measured.value <= (1 - policy.accuracy_drop) * validation.value and measured.value + apart < validation.value


def _blockers(facts: PolicyFacts, policy: RetrainPolicy, now: datetime, *, improve: bool) -> dict[str, str]:
    """improve: whether the gate will ask the candidate to be better on new audit rows; not if the date alone calls."""
    found = {}
    if facts.base_retired:
        found["base_retired"] = "its base is retired"
    if not facts.can_build_on:
        found["no_snapshot"] = "the version was imported and has no training data to build on"
    if facts.open_run is not None:
        found["open_run"] = f"run {facts.open_run} is open"
    elif facts.last_run_at is not None and now - facts.last_run_at < policy.cooldown:
        found["cooldown"] = f"the cool-down lasts until {facts.last_run_at + policy.cooldown:%Y-%m-%d %H:%M} UTC"
    week = sorted(at for at in facts.asked_at if now - at < _WEEK)
    if len(week) >= policy.runs_a_week:
        free_at = week[-policy.runs_a_week] + _WEEK
        found["budget"] = (
            f"{policy.runs_a_week} runs a week are allowed, the next one from {free_at:%Y-%m-%d %H:%M} UTC"
        )
    if facts.new_labels < policy.min_labels:
        found["labels"] = f"only {facts.new_labels} of {policy.min_labels} labelled rows are new"
    elif improve and facts.new_audit_labels < policy.min_audit_labels:
        found["audit"] = (
            f"only {facts.new_audit_labels} of {policy.min_audit_labels} audit rows to judge by are labelled"
        )
    elif facts.nothing_new_since_rejection:
        found["nothing_new"] = "the last run was rejected and no label came since"
    return found


def _joined(phrases: dict[str, str]) -> str:
    return " and ".join(phrases.values())


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:.0f} days" if days >= 2 else f"{span / timedelta(hours=1):.1f} hours"

"""The drift verdict: p-values in, a written decision out. Pure, so that its error rates can be measured.

A monitor that cries wolf is switched off, so two brakes hold the false-alarm rate:

1. **P-values that know of each other.** A check looks at six signals, of which the most telling is always telling by
   chance. Their p-values come from one permutation test (`monitor/joint_test.py`) and are adjusted for that: the
   chance that any of them is at or below `false_alarm_rate` while nothing drifts is at most `false_alarm_rate`.
2. **Persistence.** Only when `confirm_checks` checks in a row, on windows that share no row, find the *same* signal,
   is it `drift`; until then it is `suspected`, and nothing is retrained for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from monitor.labelled import CONCEPT_LINE, Calibration

UNSEEN = "unseen"
KINDS = {
    "length": "covariate",
    "data_quality": "data_quality",
    "embedding": "covariate",
    "predicted_label": "prior",
    "confidence": "confidence",
    "out_of_scope": UNSEEN,
}
"""What kind of drift a signal speaks of: P(x), texts that came in broken or in another language, P(y) as predicted, the
model's own doubt, or what it never learned."""

SLICES_SHARE = 0.2
"""Share of the false alarms that slices may cause, if any is looked at."""
NO_SLICES: Mapping[str, Mapping[str, float]] = MappingProxyType({})
_OF_SLICE = ": "

CONCEPT = "concept"
"""The kind that only labels show: P(y|x)."""


class Verdict(StrEnum):
    NOT_ENOUGH_DATA = "not_enough_data"
    STABLE = "stable"
    SUSPECTED = "suspected"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class DriftRules:
    false_alarm_rate: float = 0.01
    """Chance that a check finds something when nothing drifts, at most."""
    confirm_checks: int = 2
    window_min_rows: int = 100


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one signal says."""

    p_value: float
    """Adjusted for all signals of the check."""
    threshold: float
    drifted: bool


@dataclass(frozen=True, slots=True)
class PastCheck:
    """What matters of an earlier check of the same version."""

    verdict: Verdict
    drifted: frozenset[str]
    """Signals that crossed their threshold."""


@dataclass(frozen=True, slots=True)
class DriftDecision:
    verdict: Verdict
    kinds: tuple[str, ...]
    """covariate, data_quality, prior, confidence, unseen: of the signals that crossed; concept: of the labels."""
    signals: Mapping[str, Evidence]
    reason: str
    """One sentence for a person."""
    concept: str | None = None
    """What labels show of a change that inputs cannot, as a sentence; None if nothing."""

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(name for name, evidence in self.signals.items() if evidence.drifted)


def decide_drift(
    p_values: Mapping[str, float],
    window_rows: int,
    past: Sequence[PastCheck],
    rules: DriftRules,
    *,
    slices: Mapping[str, Mapping[str, float]] = NO_SLICES,
) -> DriftDecision:
    """Judge one check.

    p_values: per signal, each in [0, 1]; while nothing drifts, the smallest of them is uniform or conservative.
    slices: the same of each slice that is looked at; a signal of one is called `slice: signal`. All slices together
    get `SLICES_SHARE` of the false alarms, in equal parts (Bonferroni).
    past: earlier checks of the same version, oldest first; those without enough data say nothing and are passed over.
    """
    if window_rows < rules.window_min_rows:
        return not_enough_data(f"{window_rows} of {rules.window_min_rows} predictions since the last check")
    evidence = _weigh(p_values, slices, rules)
    drifted = [name for name, found in evidence.items() if found.drifted]
    kinds = tuple(sorted({KINDS.get(signal_of(name), "covariate") for name in drifted}))
    if not drifted:
        return DriftDecision(Verdict.STABLE, (), evidence, _calm(evidence, rules))
    before = [check for check in past if check.verdict is not Verdict.NOT_ENOUGH_DATA]
    streak = 1 + _agreeing(before, drifted)
    what = f"{_named(drifted, evidence)} differ{'s' if len(drifted) == 1 else ''} from the reference"
    if streak >= rules.confirm_checks:
        times = f" in {streak} checks in a row" if streak > 1 else ""
        return DriftDecision(Verdict.DRIFT, kinds, evidence, f"{what}{times}")
    wanted = f"{rules.confirm_checks} checks in a row must agree, this is number {streak}"
    return DriftDecision(Verdict.SUSPECTED, kinds, evidence, f"{what}; {wanted}")


def with_concept(decision: DriftDecision, calibration: Calibration | None, rules: DriftRules) -> DriftDecision:
    """Add what labels show and inputs cannot: answers that are right less often than the model is sure of them.

    It names a loss, and leaves the verdict, which is about inputs, as it is: the policy acts on accuracy by itself.
    While texts come in that the model was not made for, its confidence in them is worth little, and nothing is named.
    """
    if UNSEEN in decision.kinds:
        return decision
    p_value = calibration.p_value if calibration is not None else None
    if calibration is None or p_value is None or not p_value <= CONCEPT_LINE * rules.false_alarm_rate:
        return decision  # also where the p-value is no number
    told = (
        f"of {calibration.rows} labelled answers {calibration.right:.1%} are right, of which the model was "
        f"{calibration.confident:.1%} sure (p = {p_value:.1g}): what is right has changed"
    )
    return replace(decision, kinds=(*decision.kinds, CONCEPT), concept=told)


def not_enough_data(reason: str) -> DriftDecision:
    return DriftDecision(Verdict.NOT_ENOUGH_DATA, (), {}, reason)


def in_slice(signal: str, slice_name: str) -> str:
    """What a signal of a slice is called; of the whole window, where `slice_name` is empty, as it is."""
    return f"{slice_name}{_OF_SLICE}{signal}" if slice_name else signal


def signal_of(name: str) -> str:
    """`confidence` of `confidence`, and of `region=eu: confidence`."""
    return name.rpartition(_OF_SLICE)[2]


def _weigh(
    p_values: Mapping[str, float], slices: Mapping[str, Mapping[str, float]], rules: DriftRules
) -> dict[str, Evidence]:
    rate = rules.false_alarm_rate
    lines = {name: (p_value, rate * (1 - SLICES_SHARE) if slices else rate) for name, p_value in p_values.items()}
    for name, of_slice in slices.items():
        for signal, p_value in of_slice.items():
            lines[in_slice(signal, name)] = p_value, rate * SLICES_SHARE / len(slices)
    for name, (p_value, _) in lines.items():
        if not 0 <= p_value <= 1:
            raise ValueError(f"p-value of {name!r} is {p_value!r}")
    return {name: Evidence(p_value, line, drifted=p_value <= line) for name, (p_value, line) in lines.items()}


def _agreeing(before: Sequence[PastCheck], drifted: Iterable[str]) -> int:
    """How many checks right before this one found a signal that all of them, and this one, found.

    Of a drifting slice the whole window has a part, and may show it in one check and not in the next: both agree.
    """
    common = set(drifted)
    count = 0
    for check in reversed(before):
        common = {name for name in common if any(_agree(name, other) for other in check.drifted)}
        if not common:
            break
        count += 1
    return count


def _agree(name: str, other: str) -> bool:
    signal = signal_of(name)
    return name == other or (signal == signal_of(other) and signal in (name, other))


def _named(drifted: Sequence[str], evidence: Mapping[str, Evidence]) -> str:
    shown = [f"{name} (p = {evidence[name].p_value:.1g})" for name in drifted]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def _calm(evidence: Mapping[str, Evidence], rules: DriftRules) -> str:
    name = min(evidence, key=lambda name: evidence[name].p_value / evidence[name].threshold)
    found = evidence[name]
    nearest = f"{name} (p = {found.p_value:.2g}, alarm at {found.threshold:.2g})"
    return f"no signal differs from the reference; the nearest is {nearest}"

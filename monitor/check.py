"""One drift check from start to end: look, compute, decide, and only then write."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from monitor.accuracy import estimated_accuracy, wilson
from monitor.decision import (
    SLICES_SHARE,
    DriftDecision,
    DriftRules,
    Verdict,
    decide_drift,
    in_slice,
    not_enough_data,
    with_concept,
)
from monitor.episode import SinceDrift, episode_from, go_on
from monitor.facts import gather_facts, gather_since_drift, policy_from
from monitor.joint_test import deals_for, joint_test
from monitor.labelled import what_labels_say
from monitor.parts import MonitorParts
from monitor.policy import Action, PolicyDecision, decide_retrain
from monitor.record import CheckResult, Computed, Seen, past_check, policy_facts, record_check, result_of
from monitor.report import Drawing, draw_report
from monitor.signals import Signals, signals_of
from monitor.slices import ComparedSlice, compare_slices
from monitor.telling import changes, telling_rows
from monitor.window import Window, load_window
from store.bases import family_of, get_base
from store.checks import last_checks
from store.errors import BadInput, Conflict
from store.reference import Reference
from store.settings import Settings
from store.versions import get_adapter, get_deployment, get_version

REPORT_FILE = "report.html"
"""The page in the artifact `Check.report`."""


def run_check(parts: MonitorParts, model: str, *, asked: bool = False, window_rows: int | None = None) -> CheckResult:
    """Check the production version of `model`, record it, and queue a run if the policy says so.

    asked: a person wants to know; then even `not_enough_data` is recorded, which a schedule keeps to itself.
    window_rows: newest predictions to look at, instead of the setting.
    Raises NotFound; BadInput; StoreUnavailable; Conflict without a production version, or when the world moved on
    meanwhile (another check, a promotion); ArtifactCorrupt.
    """
    settings = parts.settings
    if window_rows is not None and window_rows < settings.window_min_rows:
        raise BadInput(
            f"a window of {window_rows} rows is below DRIFTGATE_WINDOW_MIN_ROWS={settings.window_min_rows}",
            where="window",
        )
    now = parts.clock()
    with parts.database.read() as session:
        seen = look(session, model, settings, window_rows or settings.window_rows)
    computed = compute(parts, seen, asked=asked)
    rules = policy_from(settings)
    policy = decide_retrain(policy_facts(seen, computed), rules, now)
    silent = computed.drift.verdict is Verdict.NOT_ENOUGH_DATA and not asked
    if silent and policy.action is not Action.RETRAIN and not _measured_at_last(seen, policy):
        return result_of(seen, computed, policy, check=None, run=None, at=now)
    with parts.database.write() as session:
        result = record_check(session, seen, computed, rules, now=now)
    if parts.workspace is not None and computed.drawing is not None:
        parts.workspace.add(result, computed.drawing)
    return result


def _measured_at_last(seen: Seen, policy: PolicyDecision) -> bool:
    """Whether the labels are there now that the last check asked for."""
    wanted = seen.recorded.decision.get("labels_wanted") if seen.recorded else None
    return wanted is not None and policy.labels_wanted is None


def rules_from(settings: Settings) -> DriftRules:
    return DriftRules(
        false_alarm_rate=settings.false_alarm_rate,
        confirm_checks=settings.confirm_checks,
        window_min_rows=settings.window_min_rows,
    )


def look(session: Session, model: str, settings: Settings, rows: int) -> Seen:
    deployment = get_deployment(session, model)
    if deployment.production is None:
        raise Conflict(f"model {model!r} has no version in production; there is nothing to check")
    version = get_version(session, model, deployment.production)
    adapter = get_adapter(session, version)
    past = last_checks(session, model, version=version.number, limit=settings.confirm_checks, decided=True)
    newest = last_checks(session, model, version=version.number, limit=1)
    after_seq = past[-1].window_until if past else 0
    return Seen(
        version=version,
        base=family_of(session, get_base(session, adapter.base)).name,
        labels=tuple(adapter.labels),
        past=past,
        recorded=newest[-1] if newest else None,
        window=load_window(session, model, version.number, adapter.labels, rows=rows, after_seq=after_seq),
        facts=gather_facts(session, version, settings),
    )


def compute(parts: MonitorParts, seen: Seen, *, asked: bool) -> Computed:
    """Everything slow, outside the transaction that writes."""
    computed = _compare(parts, seen, asked=asked)
    return _with_cost(parts, seen, computed)


def _compare(parts: MonitorParts, seen: Seen, *, asked: bool) -> Computed:
    if seen.version.reference is None:
        why = f"no reference: version {seen.version.number} was registered without validation rows"
        return Computed(not_enough_data(why), {}, reference_rows=0)
    reference = parts.references.get(seen.version.reference)
    judged = _judge(parts, seen, reference, asked=asked)
    before = estimated_accuracy(reference.probabilities, reference)
    labels = what_labels_say(seen.facts.verdicts, reference) if seen.facts.verdicts else None
    calibration = labels.calibration if labels else None
    return Computed(
        drift=with_concept(judged.drift, calibration, rules_from(parts.settings)),
        labels=labels,
        signals=judged.signals,
        telling=judged.telling,
        reference_rows=reference.rows,
        validation=wilson(reference.accuracy, reference.rows, rows=reference.rows) if reference.rows else None,
        estimated=estimated_accuracy(seen.window.probabilities, reference),
        estimated_before=before.value if before else None,
        report=_keep_page(parts, judged.drawing) if judged.drawing is not None else None,
        drawing=judged.drawing,
    )


def _with_cost(parts: MonitorParts, seen: Seen, computed: Computed) -> Computed:
    """Add the drift that goes on, and what it costs as far as labels tell. Without enough data the last verdict stands,
    and a drift is measured also while no traffic comes."""
    kept = seen.recorded.decision.get("episode") if seen.recorded else None
    began = [found["since"] for found in computed.signals.values() if found["drifted"]]
    since = datetime.fromisoformat(min(began)) if began else None
    episode = go_on(episode_from(kept), computed.drift.verdict, since)
    if episode is None or episode.calm_checks or computed.validation is None:
        return replace(computed, episode=episode)
    planned = policy_from(parts.settings).labels_to_tell_a_loss(computed.validation)
    if episode.measured is not None:
        since_drift = SinceDrift(episode.since, planned, measured=episode.measured)
    else:
        with parts.database.read() as session:
            since_drift = gather_since_drift(session, seen.version, episode.since, planned=planned)
    return replace(computed, episode=replace(episode, measured=since_drift.accuracy), since_drift=since_drift)


@dataclass(frozen=True, slots=True)
class _Judged:
    drift: DriftDecision
    signals: dict[str, Any] = field(default_factory=dict)
    """What the record keeps of each signal; empty without enough data."""
    telling: tuple[str, ...] = ()
    """Ids of the predictions in which a drift shows most."""
    drawing: Drawing | None = None


def _judge(parts: MonitorParts, seen: Seen, reference: Reference, *, asked: bool) -> _Judged:
    """It is drawn for a person who asked or will be alarmed: drawing takes longer than all the rest."""
    rules = rules_from(parts.settings)
    past = [past_check(check) for check in seen.past]
    if reference.rows < rules.window_min_rows:
        why = f"the reference has {reference.rows} rows, {rules.window_min_rows} are needed"
        return _Judged(not_enough_data(why))
    if seen.window.rows < rules.window_min_rows:
        return _Judged(decide_drift({}, seen.window.rows, past, rules))
    signals = signals_of(reference, seen.window)
    deals = deals_for(reference.rows, seen.window.rows, rules.false_alarm_rate)
    p_values = {name: found.p_value for name, found in joint_test(signals, deals).items()}
    differs = min(p_values.values()) <= rules.false_alarm_rate * (1 - SLICES_SHARE)
    slices = _slices(parts, seen, reference, rules, closely=not differs)
    by_slice = {one.name: one.p_values for one in slices}
    drift = decide_drift(p_values, seen.window.rows, past, rules, slices=by_slice)
    wanted = asked or drift.verdict is not Verdict.STABLE
    found = _signals_json(drift, signals, seen, seen.window)
    for one in slices:
        found |= _signals_json(drift, one.signals, seen, one.window, slice_name=one.name)
    return _Judged(
        drift=drift,
        signals=found,
        telling=_telling(drift, signals, seen.window, slices),
        drawing=draw_report(signals, drift) if wanted else None,
    )


def _slices(
    parts: MonitorParts, seen: Seen, reference: Reference, rules: DriftRules, *, closely: bool
) -> list[ComparedSlice]:
    if not any(seen.window.tags):
        return []
    baseline = parts.baselines.get(seen.version, seen.labels)
    rate = SLICES_SHARE * rules.false_alarm_rate
    return compare_slices(seen.window, baseline, reference, min_rows=rules.window_min_rows, rate=rate, closely=closely)


def _telling(
    drift: DriftDecision, signals: Signals, window: Window, slices: Sequence[ComparedSlice]
) -> tuple[str, ...]:
    """Of the whole window, and of the largest drifted slice where only slices drifted."""
    for part, rows, prefix in [(signals, window, ""), *((one.signals, one.window, one.name) for one in slices)]:
        drifted = [name for name in part.by_name if in_slice(name, prefix) in drift.drifted]
        if drifted:
            return tuple(rows.ids[row] for row in telling_rows(part, drifted))
    return ()


def _keep_page(parts: MonitorParts, drawing: Drawing) -> str:
    with tempfile.TemporaryDirectory() as folder:
        drawing.write_page(Path(folder) / REPORT_FILE)
        return parts.artifacts.put("reports", Path(folder))


def _signals_json(
    drift: DriftDecision, signals: Signals, seen: Seen, window: Window, *, slice_name: str = ""
) -> dict[str, Any]:
    """What the record keeps of each signal of the whole window, or of a slice. window: the rows of `signals`."""
    found = {}
    for signal, change in changes(signals).items():
        name = in_slice(signal, slice_name)
        evidence = drift.signals[name]
        found[name] = {
            "statistic": change.distance,
            "p_value": evidence.p_value,
            "threshold": evidence.threshold,
            "drifted": evidence.drifted,
            "telling": change.told,
            "change": change.size,
            "since": _since(name, window.at[change.began], seen) if evidence.drifted else None,
        }
        if slice_name:
            found[name] |= {"window_rows": signals.window_rows, "reference_rows": signals.reference_rows}
    return found


def _since(name: str, began: datetime, seen: Seen) -> str:
    """When the change of a drifted signal began: in an earlier check, if the last one found the same signal."""
    before = seen.past[-1].signals.get(name, {}) if seen.past else {}
    return str(before["since"]) if before.get("since") else began.isoformat()

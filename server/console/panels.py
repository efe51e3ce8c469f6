"""Checks as charts: which figures each chart shows, and the same in words for whoever cannot see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.console.charts import Axis, Chart, Reading, draw, drift_score, score_axis, share_axis
from store.records import Check

SIGNALS = {
    "length": "tokens a text",
    "data_quality": "cut off, garbled, another language",
    "embedding": "what the texts are about, as the model sees it",
    "predicted_label": "how often each label is answered",
    "confidence": "how sure the model is",
    "out_of_scope": "texts that are like none it knows",
}
ACCURACIES = {
    "estimated": "from the model's own confidence: a hint, blind where it errs with confidence",
    "labelled": "from the labels of the audit sample: the measurement",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart with its words."""

    name: str
    about: str
    now: str
    """The newest figure."""
    found: int
    """Checks that crossed the line."""
    summary: str
    """All of it in one sentence."""
    chart: Chart


def is_of_slice(found: Mapping[str, Any]) -> bool:
    """Whether a signal is one of a slice, by what its check keeps of it: only a slice has a reference of its own."""
    return "reference_rows" in found


def signal_in_words(name: str, found: Mapping[str, Any]) -> str:
    """`predicted label`; one of a slice, `region=eu_west: length`, as it is: its caller wrote the tag so."""
    return name if is_of_slice(found) else name.replace("_", " ")


def strongest_first(signals: Mapping[str, Any]) -> dict[str, Any]:
    """What a check keeps of each signal, in the order in which a person wants to see it."""
    return dict(sorted(signals.items(), key=lambda pair: (not pair[1]["drifted"], pair[1].get("p_value", 1.0))))


def signal_panels(checks: Sequence[Check], *, chosen: str) -> list[Panel]:
    """One for each signal of the whole window in the newest of `checks` (oldest first), all on one scale."""
    whole = [name for name, found in strongest_first(checks[-1].signals).items() if not is_of_slice(found)]
    readings = {name: _scores(checks, name, chosen) for name in whole}
    axis = score_axis(
        [score for series in readings.values() for one in series for score in (one.value, one.limit or 0)]
    )
    return [
        _panel(
            name.replace("_", " "),
            SIGNALS.get(name, ""),
            series,
            axis,
            checks,
            said=f"drift score, -log10 of the p-value; {sum(one.found for one in series)} reached the alarm line",
        )
        for name, series in readings.items()
        if series
    ]


def accuracy_panels(checks: Sequence[Check], *, chosen: str) -> list[Panel]:
    """One for each way to know the accuracy, all on one scale."""
    readings = {kind: _accuracies(checks, kind, chosen) for kind in ACCURACIES}
    shares = [
        share
        for series in readings.values()
        for one in series
        for share in (one.value, one.low, one.high, one.limit)
        if share is not None
    ]
    axis = share_axis(shares)
    return [
        _panel(f"{kind} accuracy", ACCURACIES[kind], series, axis, checks, said="with 95 % intervals")
        for kind, series in readings.items()
        if series
    ]


def _panel(
    name: str, about: str, series: Sequence[Reading], axis: Axis, checks: Sequence[Check], *, said: str
) -> Panel:
    """The charts of a page share their time axis, which is that of all `checks`."""
    when = f"{len(series)} checks from {_minute(series[0].at)} to {_minute(series[-1].at)}"
    if len(series) == 1:
        when = f"one check, {_minute(series[0].at)}"
    return Panel(
        name=name,
        about=about,
        now=series[-1].told,
        found=sum(one.found for one in series),
        summary=f"{name} in {when}: {said}; the newest: {series[-1].told}",
        chart=draw(series, axis, checks[0].at, checks[-1].at),
    )


def _scores(checks: Sequence[Check], name: str, chosen: str) -> list[Reading]:
    return [
        Reading(
            check.at,
            check.version,
            drift_score(found["p_value"]),
            limit=drift_score(found["threshold"]) if found.get("threshold") else None,
            found=found["drifted"],
            chosen=check.id == chosen,
            told=f"p = {found['p_value']:.2g}",
        )
        for check in checks
        if (found := check.signals.get(name)) is not None and "p_value" in found
    ]


def _accuracies(checks: Sequence[Check], kind: str, chosen: str) -> list[Reading]:
    return [
        Reading(
            check.at,
            check.version,
            found["value"],
            limit=check.accuracy.get("validation", {}).get("value"),
            low=found.get("low"),
            high=found.get("high"),
            chosen=check.id == chosen,
            told=_share(found),
        )
        for check in checks
        if (found := check.accuracy.get(kind)) is not None
    ]


def _share(found: Mapping[str, Any]) -> str:
    told = f"{100 * found['value']:.1f} %"
    if found.get("low") is not None and found.get("high") is not None:
        told += f" ({100 * found['low']:.1f} to {100 * found['high']:.1f} %)"
    return told


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"

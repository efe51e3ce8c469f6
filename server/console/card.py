"""What the card of a version says: what it is for, what it learned from, how good it is, and where it is not.

It is read by somebody who asks whether this version deserves to be served. So the comparison comes first, then where
it fails, then how it was made. Labels are shown, texts are not: a card may be handed on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from server.console.card_charts import WIDTH, dot_chart, heat_map, reliability_diagram
from store.artifacts import ArtifactStore
from store.bases import base_story, get_base
from store.database import Database
from store.events import history
from store.report import load_report
from store.runs import get_run, run_metrics
from store.snapshots import get_snapshot
from store.versions import get_deployment, get_version
from store.views import base_view, event_view, run_view, version_view

_STORY = ("promoted", "rolled_back", "archived", "version_registered", "precision_checked")
_SHOWN_CLASSES = 15
"""The worst; the others are a click away."""
_FEW_ROWS = 20
_POINT = 100
NAMES = {
    "version": "this version",
    "production": "production",
    "majority": "majority",
    "heuristic": "heuristic",
    "tfidf": "TF-IDF",
    "frozen": "frozen base",
    "scratch": "from scratch",
}
CHANGES = {
    "typos": "5 % of the letters hit wrongly",
    "upper_case": "all in upper case",
    "lower_case": "all in lower case",
    "no_punctuation": "no punctuation",
}
KINDS = {"label": "label", "length": "length", "origin": "where the row is from", "age": "age"}
_ORIGINS = {"seed": "a person's file", "audit": "audit sample of the traffic", "flagged": "flagged"}


def load_card(database: Database, artifacts: ArtifactStore, model: str, number: int) -> dict[str, Any]:
    """What the template needs. Raises NotFound, ArtifactCorrupt, StoreUnavailable."""
    with database.read() as session:
        key = get_version(session, model, number).evaluation.get("report")
    report = None if key is None else load_report(artifacts.fetch(key))
    with database.read() as session:
        return card_page(session, model, number, report)


def card_page(session: Session, model: str, number: int, report: Mapping[str, Any] | None) -> dict[str, Any]:
    """report: see store/report.py; None for a version that was imported, or is of a release that kept none."""
    row = get_version(session, model, number)
    deployment = get_deployment(session, model)
    version = version_view(session, row)
    run = None if row.run is None else run_view(get_run(session, row.run), run_metrics(session, row.run))
    snapshot = None if row.snapshot is None else get_snapshot(session, row.snapshot)
    base = base_view(get_base(session, version["base"]), base_story(session, version["base"]))
    events = [event for event in history(session, model, kinds=_STORY) if event.version == number]
    return {
        "model": model,
        "version": version,
        "place": _place(number, deployment.production, deployment.candidate, deployment.previous, row.state),
        "run": run,
        "snapshot": snapshot,
        "findings": [] if snapshot is None else _findings(snapshot.audit),
        "base": base,
        "events": [event_view(event) for event in reversed(events)],
        "limits": _limits(version, base, report),
        "names": NAMES,
        "width": WIDTH,
        "about": None if report is None else _about(report),
    }


def _place(number: int, production: int | None, candidate: int | None, previous: int | None, state: str) -> str:
    places = {previous: "was in production before", candidate: "a candidate", production: "in production"}
    return places.get(number, {"rejected": "rejected by the gate"}.get(state, state))


def _findings(audit: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that are more than a remark; their messages may quote texts, so they stay where they are."""
    return [finding for finding in audit.get("findings", []) if finding.get("severity") != "info"]


def _about(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures, ready to be drawn and told."""
    own, *others = report["systems"]
    classes = _worst_first(report["classes"])
    production = next((system for system in others if system["name"] == "production"), None)
    strongest = max(others, key=lambda system: system["accuracy"]["value"], default=None)
    rivals = [system for system in (production, strongest) if system is not None]
    return {
        "own": own,
        "others": others,
        "rows": report["rows"],
        "verdicts": [_verdict(rival) for i, rival in enumerate(rivals) if rival not in rivals[:i]],
        "accuracies": dot_chart([_dot(system) for system in report["systems"]]),
        "classes": classes[:_SHOWN_CLASSES],
        "other_classes": classes[_SHOWN_CLASSES:],
        "all_classes": len(classes),
        "beside_production": any(one["production_f1"] is not None for one in classes),
        "confused": report["confused"],
        "heat": heat_map(report["confusion"], report["confused"]),
        "calibration": report["calibration"],
        "diagrams": [
            (words, reliability_diagram(report["calibration"][when]["bins"]), report["calibration"][when])
            for when, words in (("before", "as it answers"), ("after", "with its temperature"))
        ],
        **_slices(report["slices"]),
        "robustness": report["robustness"],
        "changes": [one | {"about": CHANGES.get(one["name"], one["name"])} for one in report["robustness"]["changes"]],
        "served": report["served"],
        "how": report["how"],
    }


def _worst_first(classes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """As the report has them, but for labels without test rows: they were only answered, and their F1 says nothing."""
    return sorted(classes, key=lambda one: one["rows"] == 0)


def _dot(system: Mapping[str, Any]) -> dict[str, Any]:
    name, found = NAMES.get(system["name"], system["name"]), system["accuracy"]
    return {**found, "name": name, "told": f"{name}: {percent(found['value'])} ({_span(found)})"}


def _verdict(other: Mapping[str, Any]) -> tuple[str, str]:
    """better, worse or open; and why, against one other way of answering."""
    found = other["difference"]
    name = NAMES.get(other["name"], other["name"])
    points = f"{found['value'] * _POINT:+.1f} points ({found['low'] * _POINT:+.1f} to {found['high'] * _POINT:+.1f})"
    told = f"{points}, {found['won']} rows won and {found['lost']} lost"
    if found["low"] > 0:
        return "better", f"Better than {name}: {told}."
    if found["high"] < 0:
        return "worse", f"Worse than {name}: {told}."
    return "open", f"Not shown to differ from {name}: {told}. More test rows would tell."


def _slices(slices: Mapping[str, Any]) -> dict[str, Any]:
    """Labels have a table of their own, so only what is worse in one is repeated here."""
    found = [one | {"kind_words": KINDS.get(one["kind"], one["kind"])} for one in slices["found"]]
    for one in found:
        if one["kind"] == "origin":
            one["name"] = _ORIGINS.get(one["name"], one["name"])
    worse = [one for one in found if one["worse"]]
    return {
        "slices": [one for one in found if one["kind"] != "label" or one["worse"]],
        "worse": worse,
        "looked_at": len(found),
        "too_small": slices["too_small"],
    }


def _limits(version: Mapping[str, Any], base: Mapping[str, Any], report: Mapping[str, Any] | None) -> list[str]:
    """What it cannot do, in plain words; each says a figure where there is one."""
    spec = base["spec"]
    limits = [
        f"It answers with one of its {len(version['labels'])} labels, also where none fits: a text about something "
        "else gets an answer like any other. The drift check looks for such texts.",
        "It knows the languages that its base and its rows are in, and no other.",
    ]
    if spec.get("max_tokens"):
        limits.append(f"Texts are read up to {spec['max_tokens']} tokens; longer ones are refused.")
    if report is None:
        return [*limits, "Nothing is known here of how good it is: it brought no test rows."]
    own, rows = report["systems"][0]["accuracy"], report["rows"]["test"]
    limits.append(
        f"Its accuracy was measured on {rows:,} rows and is known to lie in {_span(own)}, for texts like these; "
        "traffic that differs from them may fare worse."
    )
    few = [one["label"] for one in report["classes"] if one["rows"] < _FEW_ROWS]
    if few:
        limits.append(
            f"{len(few)} of {len(report['classes'])} labels have fewer than {_FEW_ROWS} test rows: what the table says "
            "of each of these alone is rough."
        )
    weakest = next(iter(_worst_first(report["classes"])), None)
    if weakest is not None and weakest["rows"] >= _FEW_ROWS and weakest["recall"] < own["low"]:
        limits.append(f"It is weakest in {weakest['label']}: it finds {percent(weakest['recall'])} of its rows.")
    error = report["calibration"]["before"]
    if error["error"] > error["error_unlikely"]:
        limits.append(
            f"Its confidence is off by {percent(error['error'])} on average, more than chance explains: read it as a "
            "rank, not as a probability."
        )
    hurt = [one for one in report["robustness"]["changes"] if one["changed"] >= 0.05]
    limits += [
        f"{CHANGES.get(one['name'], one['name']).capitalize()}: {percent(one['changed'])} of its answers change."
        for one in hurt
    ]
    return limits


def percent(share: float) -> str:
    return f"{_POINT * share:.1f} %"


def _span(found: Mapping[str, Any]) -> str:
    return f"{_POINT * found['low']:.1f} to {_POINT * found['high']:.1f} %"

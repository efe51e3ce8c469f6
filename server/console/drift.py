"""What the drift page of a model says: the verdict, what is asked of people, and what it all rests on.

It is read by somebody who was woken by an alarm. So the words come first, then the charts, then the figures; and it
stays as quick as it is on the first day: checks, labels and rows are asked for by the hundred, whatever there are.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from server.console.panels import (
    SIGNALS,
    accuracy_panels,
    is_of_slice,
    signal_in_words,
    signal_panels,
    strongest_first,
)
from store.checks import get_check, last_checks, why_no_report
from store.clock import span_in_words
from store.errors import NotFound
from store.false_alarms import expected_days_between_findings
from store.predictions import count_sampled, get_predictions
from store.records import Check
from store.review import labels_by_now
from store.settings import Settings
from store.versions import get_deployment, get_version
from store.views import check_view

SHOWN_CHECKS = 100
_SHOWN_LETTERS = 20_000
"""Of an input: a page must open on a phone, also when somebody sent a book."""
_PREVIEW_LETTERS = 280
_SHOWN_LABELS = 10
_SHOWN_OF_SLICES = 6
_LATE = 3
"""So many times the time between two checks without one are worth a word."""

_UNMEASURED = "whether it costs accuracy is not known; labels would tell"
"""Instead of the figures of the moment of the check: the page has those of now."""

VERDICTS = {
    "drift": "Drift confirmed",
    "suspected": "Drift suspected",
    "stable": "No drift",
    "not_enough_data": "Not enough data",
}
KINDS = {
    "covariate": "the texts are of another make than those that the model was tested on: their length, words or topics",
    "prior": "other things are asked for: some answers are given more often than before, others less",
    "confidence": "the model is less, or more, sure of its answers than it was",
    "unseen": "texts come in that the model was not made for; it answers them all the same",
    "data_quality": "texts come in cut off, garbled or in another language: look at what sends them",
    "concept": "the right answers have changed, which only labels can show: the same texts now mean something else",
}


def drift_page(
    session: Session, model: str, asked: str | None, settings: Settings, now: datetime, *, texts: bool
) -> dict[str, Any]:
    """What the template needs. asked: id of the check to speak of, instead of the newest with enough data.
    texts: whether the reader may see what callers sent.

    Raises NotFound: no such model, or no such check of it.
    """
    production = get_deployment(session, model).production
    checks = last_checks(session, model, limit=SHOWN_CHECKS, decided=True)
    newest = last_checks(session, model, limit=1)
    shown = _check_of(session, model, asked) if asked is not None else checks[-1] if checks else None
    page = {
        "model": model,
        "production": production,
        "check": None,
        "promise": _promise(checks, settings),
        "checks": [check_view(check) | {"found": _found(check)} for check in reversed(checks)],
        "unjudged": check_view(newest[-1]) if newest and newest[-1].verdict == "not_enough_data" else None,
        "verdicts": VERDICTS,
    }
    if shown is None:
        return page | {"missing": _missing(session, model, production, settings)}
    is_newest = not checks or shown.id == checks[-1].id
    decided = _decided_last(session, shown) if is_newest else shown
    return page | {
        "check": check_view(shown),
        "reason": _reason(shown),
        "ago": span_in_words(now - shown.at),
        "kinds": {kind: KINDS.get(kind, "") for kind in shown.kinds},
        **_signals(shown),
        "about": SIGNALS,
        "least_recalled": _least_recalled(check_view(shown)["labels"]),
        "since": _since(shown),
        "decided_at": decided.at.isoformat(),
        "policy": _policy(decided.decision),
        "labels": _labels_wanted(session, decided, live=is_newest) if shown.version == production else None,
        "inputs": _inputs(session, shown) if texts else None,
        "is_newest": is_newest,
        "late": is_newest and now - shown.at > _LATE * timedelta(seconds=settings.check_every_s),
        "no_report": why_no_report(shown) if shown.report is None else None,
        **_neighbours(checks, shown),
        **_shown(checks, shown),
    }


def _decided_last(session: Session, check: Check) -> Check:
    """The newest check of the same version: labels may be judged, and a run be asked for, without new traffic."""
    return last_checks(session, check.model, version=check.version, limit=1)[-1]


def _reason(check: Check) -> str:
    """As a sentence begins; the name of a slice stays as its caller wrote it."""
    reason: str = check.decision.get("drift") or check.decision.get("summary", "")
    if any(is_of_slice(found) and reason.startswith(name) for name, found in check.signals.items()):
        return reason
    return reason[:1].upper() + reason[1:]


def _found(check: Check) -> list[str]:
    return [signal_in_words(name, found) for name, found in check.signals.items() if found["drifted"]]


def _signals(check: Check) -> dict[str, Any]:
    """Those of the whole window, and the strongest of slices, by their names in words."""
    ordered = [
        (signal_in_words(name, found), found, is_of_slice(found))
        for name, found in strongest_first(check.signals).items()
    ]
    of_slices = [(name, found) for name, found, of_slice in ordered if of_slice]
    return {
        "whole": {name: found for name, found, of_slice in ordered if not of_slice},
        "slices": dict(of_slices[:_SHOWN_OF_SLICES]),
        "slice_signals": len(of_slices),
    }


def _least_recalled(said: Mapping[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    """Labels with their recall, the worst first."""
    recall = said["recall"] if said else {}
    return sorted(recall.items(), key=lambda one: (one[1]["value"], one[0]))[:_SHOWN_LABELS]


def _check_of(session: Session, model: str, asked: str) -> Check:
    check = get_check(session, asked)
    if check.model != model:
        raise NotFound(f"model {model!r} has no check {asked!r}: it is one of {check.model!r}")
    return check


def _missing(session: Session, model: str, production: int | None, settings: Settings) -> dict[str, Any]:
    """What a first check waits for."""
    if production is None:
        return {"why": "no_version"}
    if get_version(session, model, production).reference is None:
        return {"why": "no_reference"}
    needed = settings.window_min_rows
    return {"why": "waiting", "rows": count_sampled(session, model, production, at_most=needed), "needed": needed}


def _promise(checks: Sequence[Check], settings: Settings) -> dict[str, Any]:
    """How often a check is wrong, and what that means at the pace of the checks."""
    rate, every_s = settings.false_alarm_rate, settings.check_every_s
    days = expected_days_between_findings(rate, every_s, [check.at for check in checks])
    return {
        "rate": rate,
        "every": span_in_words(timedelta(seconds=every_s)),
        "faster": days < expected_days_between_findings(rate, every_s),
        "between_findings": span_in_words(timedelta(days=days)),
        "confirm_checks": settings.confirm_checks,
    }


def _since(check: Check) -> str | None:
    began = [found["since"] for found in check.signals.values() if found["drifted"] and found.get("since")]
    return min(began, default=None)


def _policy(decision: Mapping[str, Any]) -> dict[str, Any]:
    """The reasons apart: what calls for a run, what stands in its way, and the alert."""
    reasons, blockers = decision.get("reasons", []), decision.get("blockers", [])
    called = len(decision.get("triggers", []))
    judged = called + len(blockers)
    return {
        "action": decision.get("action", "none"),
        "alert": decision.get("alert", decision.get("action") == "alert"),
        "run": decision.get("run"),
        "calls": reasons[:called],
        "stands_in_the_way": [
            _UNMEASURED if blocker == "unmeasured" and decision.get("labels_wanted") else reason
            for blocker, reason in zip(blockers, reasons[called:judged], strict=False)
        ],
        "others": reasons[judged:],
    }


def _labels_wanted(session: Session, check: Check, *, live: bool) -> dict[str, Any] | None:
    """live: how many are there by now; the monitor looks at them again only when all are."""
    wanted: dict[str, Any] | None = check.decision.get("labels_wanted")
    if wanted is None or not live:
        return wanted
    now, _ = labels_by_now(session, check)
    if now is None:
        return None
    return now.as_dict() | {"labelled": min(now.labelled, now.planned)}


def _inputs(session: Session, check: Check) -> list[dict[str, Any]]:
    rows = get_predictions(session, check.decision.get("telling", []))
    return [
        {
            "label": row.label,
            "score": row.score,
            "at": row.at.isoformat(),
            "preview": row.input[:_PREVIEW_LETTERS],
            "whole": row.input[:_SHOWN_LETTERS] if len(row.input) > _PREVIEW_LETTERS else None,
            "letters": len(row.input),
            "left_out": max(len(row.input) - _SHOWN_LETTERS, 0),
        }
        for row in rows
    ]


def _neighbours(checks: Sequence[Check], shown: Check) -> dict[str, str | None]:
    """Ids of the checks before and after, as far as they are among those that are listed."""
    ids = [check.id for check in checks]
    place = ids.index(shown.id) if shown.id in ids else None
    return {
        "earlier": ids[place - 1] if place else None,
        "later": ids[place + 1] if place is not None and place + 1 < len(ids) else None,
    }


def _shown(checks: Sequence[Check], shown: Check) -> dict[str, Any]:
    """The charts: of all checks that are listed, whichever the page speaks of."""
    drawn = checks or [shown]
    return {
        "shown_from": drawn[0].at.isoformat(),
        "shown_until": drawn[-1].at.isoformat(),
        "found": sum(check.verdict in ("suspected", "drift") for check in drawn),
        "signal_panels": signal_panels(drawn, chosen=shown.id),
        "accuracy_panels": accuracy_panels(drawn, chosen=shown.id),
    }

"""Rows of the audit sample for people to label: which ones wait, in which order they are handed out, and skipping.

While a drift check asks for labels, the rows that it will be judged by come first, oldest first: they are just those
that `audit_rows_since` looks at. Nothing here looks at what the model answered, or at whether an answer was right: rows
that were chosen by that would measure the choice.

A skip stands on the row of the audit sample and is no feedback. It takes a row out of what is handed out and counted as
waiting, says nothing about the answer, and gives way to a verdict, whichever came first.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from store.checks import last_checks
from store.feedback import ROWS_A_LABEL, DrawnRow, audit_rows_since, is_review_of
from store.predictions import get_predictions
from store.records import AuditSample, Check, Feedback, Prediction

REVIEWED_ROWS = 1_000
"""Newest rows of the audit sample among which those are looked for that wait for a label: all of them would be counted
every few seconds, and grow with the traffic."""


@dataclass(frozen=True, slots=True)
class WantedLabels:
    """Labels that a drift check asks for, and how many there are by now."""

    planned: int
    labelled: int
    waiting: int
    """Rows among those that are looked at which wait for a label."""
    since: datetime

    def as_dict(self) -> dict[str, Any]:
        return {
            "planned": self.planned,
            "labelled": self.labelled,
            "waiting": self.waiting,
            "since": self.since.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class ReviewList:
    """Rows to label, those that are wanted most first."""

    wanted: WantedLabels | None
    """None if the newest check of the version in production asks for no labels."""
    rows: list[Prediction]


def next_to_review(session: Session, model: str, production: int | None, *, rows: int) -> ReviewList:
    """At most `rows` rows that wait for a label. First what the newest check of `production` asks for, oldest first,
    until as many labels as it planned are there; then the newest ones, of any version."""
    wanted, drawn = (None, []) if production is None else _asked_for(session, model, production)
    chosen = []
    if wanted is not None and wanted.labelled < wanted.planned:
        chosen = [row.prediction_id for row in drawn if row.waits][:rows]
    if len(chosen) < rows:
        taken = set(chosen)
        newest = session.scalars(_waiting(model).limit(rows))  # of these at most as many are taken as were chosen
        chosen += [one for one in newest if one not in taken][: rows - len(chosen)]
    return ReviewList(wanted, get_predictions(session, chosen))


def _asked_for(session: Session, model: str, version: int) -> tuple[WantedLabels | None, list[DrawnRow]]:
    """What the newest check of a version asks for, and the rows that it will look at."""
    newest = last_checks(session, model, version=version, limit=1)
    return labels_by_now(session, newest[-1]) if newest else (None, [])


def labels_by_now(session: Session, check: Check) -> tuple[WantedLabels | None, list[DrawnRow]]:
    """The labels that a check asked for, None if it asked for none, and the rows that are looked at for them."""
    asked = check.decision.get("labels_wanted")
    if asked is None:
        return None, []
    since, planned = datetime.fromisoformat(asked["since"]), int(asked["planned"])
    drawn = audit_rows_since(session, check.model, check.version, since=since, rows=ROWS_A_LABEL * planned)
    labelled, waiting = sum(row.verdict is not None for row in drawn), sum(row.waits for row in drawn)
    return WantedLabels(planned, labelled, waiting, since), drawn


def count_unlabelled_audit(session: Session, model: str) -> int:
    """How many of the newest `REVIEWED_ROWS` of the audit sample wait for a label of their own; a flag is none."""
    return session.scalar(select(func.count()).select_from(_waiting(model).order_by(None).subquery())) or 0


def _waiting(model: str) -> Select[str]:
    """Rows among the newest `REVIEWED_ROWS` of the audit sample that wait for a label, newest first.

    Bounded before it is asked who waits: where every row is labelled, a walk to the next one that is not would pass
    over the whole sample.
    """
    newest = (
        select(AuditSample.prediction_id, AuditSample.at, AuditSample.skipped_at)
        .where(AuditSample.model == model)
        .order_by(AuditSample.at.desc())
        .limit(REVIEWED_ROWS)
        .subquery()
    )
    return (
        select(newest.c.prediction_id)
        .join(Prediction, Prediction.id == newest.c.prediction_id)
        .where(
            newest.c.skipped_at.is_(None),
            ~select(Feedback.seq).where(is_review_of(newest.c.prediction_id)).exists(),
        )
        .order_by(newest.c.at.desc(), newest.c.prediction_id.desc())
    )


def is_drawn(session: Session, prediction_id: str) -> bool:
    return session.get(AuditSample, prediction_id) is not None


def skip_review(
    session: Session, prediction_id: str, *, by: str, reason: str | None, now: datetime
) -> tuple[AuditSample, bool]:
    """Say that nobody needs to be asked about a drawn row again; returns the row, and whether this was the first skip.

    The first one stays: it is what took the row off the list.
    """
    first = session.scalar(
        update(AuditSample)
        .where(AuditSample.prediction_id == prediction_id, AuditSample.skipped_at.is_(None))
        .values(skipped_at=now, skipped_by=by, skip_reason=reason)
        .returning(AuditSample.prediction_id)
    )
    return session.get_one(AuditSample, prediction_id, populate_existing=True), first is not None

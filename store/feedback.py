"""Feedback: what people and systems say about predictions."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.database import insert_missing
from store.ids import new_id
from store.records import AuditSample, Feedback, Prediction

_SAID = ("label", "correct", "comment", "origin")
"""What makes a verdict another one."""


@dataclass(frozen=True, slots=True)
class NewFeedback:
    """A verdict, with the prediction it speaks of already resolved to model and version."""

    prediction_id: str
    model: str
    version: int
    label: str | None
    correct: bool | None
    input: str | None
    comment: str | None
    by: str
    origin: Literal["audit", "flagged"] = "flagged"
    """audit only if the label would have been given whatever the answer was: a review of the audit sample, or ground
    truth that a system delivers. Somebody who speaks up because an answer was wrong flags."""


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A text with the label that somebody gave it, and how it was chosen."""

    feedback_seq: int
    prediction_id: str
    version: int
    text: str
    label: str
    predicted: str | None
    """What the version answered; None if the prediction was not recorded."""
    inclusion: float | None
    """Probability with which the row was drawn into the audit sample; None if it was not drawn, or if its label was
    given because of what the answer was: such a row says nothing about how often answers are right."""
    at: datetime

    @property
    def origin(self) -> str:
        """audit or flagged: only audit rows may measure (docs/labels.md)."""
        return "flagged" if self.inclusion is None else "audit"


def add_feedback(session: Session, new: NewFeedback, *, now: datetime) -> tuple[str, bool]:
    """Store a verdict; returns its id and whether it was new. What somebody said last, said again, adds nothing.

    The text does not count as something said: a caller who was asked for it sends the same verdict again, with it.
    """
    own = select(Feedback).where(Feedback.prediction_id == new.prediction_id, Feedback.by == new.by)
    before = session.scalar(own.order_by(Feedback.seq.desc()).limit(1))
    if before is not None and all(getattr(before, name) == getattr(new, name) for name in _SAID):
        return before.id, False
    said = [new.prediction_id, new.by, *(getattr(new, name) for name in _SAID), None if before is None else before.id]
    dedup = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    row = {
        "id": new_id(now),
        "dedup": dedup,
        "prediction_id": new.prediction_id,
        "model": new.model,
        "version": new.version,
        "label": new.label,
        "correct": new.correct,
        "input": new.input,
        "comment": new.comment,
        "by": new.by,
        "origin": new.origin,
        "at": now,
    }
    session.execute(insert_missing(session, Feedback, key="dedup").values(row))
    stored = session.scalars(select(Feedback.id).where(Feedback.dedup == dedup)).one()
    return stored, stored == row["id"]  # another one: the same was said at this very moment


def labelled_rows(
    session: Session, model: str, *, after_seq: int = 0, until_seq: int | None = None
) -> list[LabelledRow]:
    """Labelled rows of `model` whose newest verdict lies in (after_seq, until_seq], oldest first.

    The newest verdict on a prediction wins. `correct: true` without a label confirms the predicted one;
    `correct: false` without a label teaches nothing yet and is left out, as is a row whose text is unknown.
    """
    newest = select(func.max(Feedback.seq)).where(Feedback.model == model).group_by(Feedback.prediction_id)
    if until_seq is not None:
        newest = newest.where(Feedback.seq <= until_seq)
    query = (
        select(Feedback, Prediction.input, Prediction.label, AuditSample.inclusion)
        .outerjoin(Prediction, Prediction.id == Feedback.prediction_id)
        .outerjoin(AuditSample, AuditSample.prediction_id == Feedback.prediction_id)
        .where(Feedback.seq.in_(newest), Feedback.seq > after_seq)
        .order_by(Feedback.seq)
    )
    rows = []
    for feedback, recorded_input, predicted, inclusion in session.execute(query):
        label = feedback.label or (predicted if feedback.correct else None)
        text = recorded_input if recorded_input is not None else feedback.input
        if label is None or text is None:
            continue
        rows.append(
            LabelledRow(
                feedback_seq=feedback.seq,
                prediction_id=feedback.prediction_id,
                version=feedback.version,
                text=text,
                label=label,
                predicted=predicted,
                inclusion=inclusion if feedback.origin == "audit" else None,
                at=feedback.at,
            )
        )
    return rows


def last_feedback_seq(session: Session, model: str) -> int:
    """The highest sequence number so far; a snapshot closes here."""
    return session.scalar(select(func.max(Feedback.seq)).where(Feedback.model == model)) or 0


def count_feedback(session: Session, model: str | None = None) -> int:
    query = select(func.count()).select_from(Feedback)
    if model is not None:
        query = query.where(Feedback.model == model)
    return session.scalar(query) or 0

"""Feedback: what people and systems say about predictions."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from store.database import insert_missing
from store.ids import new_id
from store.newest import newest_of
from store.records import AuditSample, Feedback, Prediction

_SAID = ("label", "correct", "comment", "origin")
"""What makes a verdict another one."""

ROWS_A_LABEL = 2
"""Rows of the audit sample that are looked at for each label that is planned since a drift: some will never get one."""


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
    """Probability with which the row was drawn into the audit sample; None if it was not drawn, or if nobody ever gave
    it a label whatever the answer was: such a row says nothing about how often answers are right."""
    at: datetime

    @property
    def origin(self) -> str:
        """audit or flagged: only audit rows may measure (docs/labels.md)."""
        return "flagged" if self.inclusion is None else "audit"


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Whether the answer to a row of the audit sample was right, by somebody who would have spoken in any case."""

    right: bool
    inclusion: float
    """Probability with which the row was drawn."""
    truth: str | None = None
    """The right label; None where only that the answer is wrong was said."""
    probabilities: bytes = b""
    """As the prediction was recorded: float16 little-endian [classes]; empty where nobody asked for it."""


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """A row of the audit sample, and whether somebody looked at it."""

    prediction_id: str
    verdict: AuditVerdict | None
    skipped: bool
    """Somebody could not say what was right (store/review.py)."""

    @property
    def waits(self) -> bool:
        """A verdict counts whether the row was skipped before or after it."""
        return self.verdict is None and not self.skipped


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
    `correct: false` without a label teaches nothing yet and is left out, as is a row whose text is unknown. A flag on
    a reviewed row of the audit sample gives it another label, and does not take it out of the sample: flagged is
    what was answered wrongly, and without these rows the rest of the sample would look better than the traffic.
    """
    query = (
        select(Feedback, Prediction.input, Prediction.label, AuditSample.inclusion, _is_reviewed(until_seq))
        .outerjoin(Prediction, Prediction.id == Feedback.prediction_id)
        .outerjoin(AuditSample, AuditSample.prediction_id == Feedback.prediction_id)
        .where(Feedback.model == model, Feedback.seq > after_seq, _is_newest(until_seq))
        .order_by(Feedback.seq)
    )
    if until_seq is not None:
        query = query.where(Feedback.seq <= until_seq)
    rows = []
    for feedback, recorded_input, predicted, inclusion, is_reviewed in session.execute(query):
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
                inclusion=inclusion if is_reviewed else None,
                at=feedback.at,
            )
        )
    return rows


def count_labelled(session: Session, model: str, *, after_seq: int, at_most: int, audit: bool = False) -> int:
    """How many rows `labelled_rows` would give, or how many of them from the audit sample; it stops at `at_most`."""
    recorded = Prediction.id.is_not(None)
    newest = newest_of(session, select(Feedback.seq), Feedback.model, model, Feedback.seq, after_seq=after_seq)
    query = (
        newest.select_from(Feedback)
        .outerjoin(Prediction, Prediction.id == Feedback.prediction_id)
        .where(
            _is_newest(None),
            or_(Feedback.label.is_not(None), Feedback.correct.is_(True) & recorded),
            or_(recorded, Feedback.input.is_not(None)),
        )
    )
    if audit:
        query = query.join(AuditSample, AuditSample.prediction_id == Feedback.prediction_id).where(_is_reviewed(None))
    return session.scalar(select(func.count()).select_from(query.limit(at_most).subquery())) or 0


def audit_verdicts(session: Session, model: str, version: int, *, rows: int) -> list[AuditVerdict]:
    """What was said of the newest `rows` reviewed predictions of a version that were drawn into the audit sample.

    Only the newest verdict that was given whatever the answer was counts. What somebody flagged, before or after it,
    changes nothing here, and a bare `correct: false` says as much as a label does.
    """
    said = (
        select(Feedback.label, Feedback.correct, Prediction.label, AuditSample.inclusion, Prediction.probabilities)
        .select_from(Feedback)
        .join(Prediction, Prediction.id == Feedback.prediction_id)
        .join(AuditSample, AuditSample.prediction_id == Feedback.prediction_id)
        .where(Feedback.model == model, Feedback.version == version, _says_whether_right(), ~_overruled())
    )
    newest = newest_of(session, said, Feedback.origin, "audit", Feedback.seq).limit(rows)
    return [_verdict(*row) for row in session.execute(newest)]


def audit_rows_since(session: Session, model: str, version: int, *, since: datetime, rows: int) -> list[DrawnRow]:
    """The first `rows` predictions of the audit sample that a version answered from `since` on, in the order in which
    they were answered, with what was said of them.

    Always the first ones: which rows are asked about must not depend on what is known of the answers.
    """
    drawn = (
        select(
            AuditSample.prediction_id, AuditSample.inclusion, AuditSample.at, AuditSample.skipped_at, Prediction.label
        )
        .join(Prediction, Prediction.id == AuditSample.prediction_id)
        .where(AuditSample.model == model, AuditSample.version == version, AuditSample.at >= since)
        .order_by(AuditSample.at, AuditSample.prediction_id)
        .limit(rows)
        .subquery()
    )
    said = (
        select(drawn, Feedback.seq, Feedback.label.label("said"), Feedback.correct)
        .select_from(drawn)
        .outerjoin(Feedback, is_review_of(drawn.c.prediction_id))
        .order_by(drawn.c.at, drawn.c.prediction_id)
    )
    return [
        DrawnRow(
            prediction_id=row.prediction_id,
            verdict=None if row.seq is None else _verdict(row.said, row.correct, row.label, row.inclusion),
            skipped=row.skipped_at is not None,
        )
        for row in session.execute(said)
    ]


def is_review_of(prediction_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a row of feedback is what the measurement goes by: the newest verdict on the prediction that was given
    whatever the answer was. There is one at most."""
    of_it = (Feedback.prediction_id == prediction_id) & (Feedback.origin == "audit")
    return of_it & _says_whether_right() & ~_overruled()


def _says_whether_right() -> ColumnElement[bool]:
    return or_(Feedback.label.is_not(None), Feedback.correct.is_not(None))


def _overruled() -> ColumnElement[bool]:
    """Whether a later verdict on the same prediction was given whatever the answer was."""
    later = aliased(Feedback)
    found = select(later.seq).where(
        later.prediction_id == Feedback.prediction_id, later.origin == "audit", later.seq > Feedback.seq
    )
    return found.exists()


def _verdict(
    label: str | None, correct: bool | None, predicted: str, inclusion: float, probabilities: bytes = b""
) -> AuditVerdict:
    truth = label or (predicted if correct else None)
    return AuditVerdict(truth == predicted, inclusion, truth, probabilities)


def _is_newest(until_seq: int | None) -> ColumnElement[bool]:
    """Whether no verdict on the same prediction came later. Asked row by row: whoever wants the newest few rows must
    not have all verdicts sorted first."""
    later = aliased(Feedback)
    found = select(later.seq).where(later.prediction_id == Feedback.prediction_id, later.seq > Feedback.seq)
    return ~_until(found, later.seq, until_seq).exists()


def _is_reviewed(until_seq: int | None) -> ColumnElement[bool]:
    """Whether anybody gave a verdict on the prediction whatever the answer was."""
    review = aliased(Feedback)
    found = select(review.seq).where(review.prediction_id == Feedback.prediction_id, review.origin == "audit")
    return _until(found, review.seq, until_seq).exists()


def _until(query: Select[int], seq: InstrumentedAttribute[int], until_seq: int | None) -> Select[int]:
    return query if until_seq is None else query.where(seq <= until_seq)


def last_feedback_seq(session: Session, model: str) -> int:
    """The highest sequence number so far; a snapshot closes here."""
    newest = newest_of(session, select(Feedback.seq), Feedback.model, model, Feedback.seq)
    return session.scalar(newest.limit(1)) or 0


def count_feedback(session: Session, model: str | None = None) -> int:
    query = select(func.count()).select_from(Feedback)
    if model is not None:
        query = query.where(Feedback.model == model)
    return session.scalar(query) or 0

"""Recorded predictions: written in batches, read as windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVarTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from store.database import insert_missing
from store.newest import newest_of
from store.records import AuditSample, Prediction

Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class NewPrediction:
    """One answer on its way into the store; the fields are those of records.Prediction."""

    id: str
    model: str
    version: int
    input: str
    label: str
    score: float
    probabilities: bytes
    sketch: bytes
    length_tokens: int
    unknown_tokens: int
    latency_s: float
    reason: str
    inclusion: float
    tags: dict[str, Any]
    request_id: str
    at: datetime
    audit: float | None = None
    """Probability with which it was drawn into the audit sample; None if it was not drawn."""


_COLUMNS = [name for name in NewPrediction.__slots__ if name != "audit"]


def add_predictions(session: Session, rows: Sequence[NewPrediction]) -> None:
    """Write recorded predictions, and the audit sample among them.

    Writing a row again changes nothing: a writer that lost its connection during a commit cannot know what it did.
    """
    if not rows:
        return
    session.connection().execute(  # the session would look at every row as an object
        insert_missing(session, Prediction, key="id"), [{name: getattr(row, name) for name in _COLUMNS} for row in rows]
    )
    audit = [
        {"prediction_id": r.id, "model": r.model, "version": r.version, "inclusion": r.audit, "at": r.at}
        for r in rows
        if r.audit is not None
    ]
    if audit:
        session.execute(insert_missing(session, AuditSample, key="prediction_id"), audit)


def get_prediction(session: Session, prediction_id: str) -> Prediction | None:
    return session.scalar(select(Prediction).where(Prediction.id == prediction_id))


def get_predictions(session: Session, ids: Sequence[str]) -> list[Prediction]:
    """Those that are there, in the order of `ids`."""
    found = {row.id: row for row in session.scalars(select(Prediction).where(Prediction.id.in_(ids)))}
    return [found[one] for one in ids if one in found]


def newest_window(session: Session, model: str, version: int, *, rows: int, after_seq: int = 0) -> list[Prediction]:
    """The newest `rows` randomly sampled predictions of a version after `after_seq`, oldest first.

    Rows recorded for another reason (low score, shadow, audit beyond the sample) are left out: they are no random
    share of the traffic, and would show as drift.
    """
    found = session.scalars(
        _sampled(session, select(Prediction), model, version, after_seq=after_seq).limit(rows)
    ).all()
    return list(reversed(found))


def first_sampled(session: Session, model: str, version: int, *, rows: int) -> list[Prediction]:
    """The first `rows` randomly sampled predictions of a version, oldest first."""
    first = (
        select(Prediction)
        .where(Prediction.model == model, Prediction.version == version, Prediction.reason == "sample")
        .order_by(Prediction.model, Prediction.version, Prediction.reason, Prediction.seq)
        .limit(rows)
    )
    return list(session.scalars(first))


def count_sampled(session: Session, model: str, version: int, *, at_most: int, after_seq: int = 0) -> int:
    """How many sampled predictions of a version came after `after_seq`; it stops counting at `at_most`."""
    found = _sampled(session, select(Prediction.seq), model, version, after_seq=after_seq).limit(at_most)
    return session.scalar(select(func.count()).select_from(found.subquery())) or 0


def _sampled(session: Session, query: Select[*Ts], model: str, version: int, *, after_seq: int) -> Select[*Ts]:
    of_version = query.where(Prediction.model == model, Prediction.version == version)
    return newest_of(session, of_version, Prediction.reason, "sample", Prediction.seq, after_seq=after_seq)


def count_predictions(session: Session, model: str | None = None) -> int:
    query = select(func.count()).select_from(Prediction)
    if model is not None:
        query = query.where(Prediction.model == model)
    return session.scalar(query) or 0

"""Rows to label, and what reviewers say of them.

A reviewer is not shown what the model answered unless they ask for it. Which rows are handed out never depends on the
answer, so a review measures either way. But whoever sees an answer agrees with it more often than whoever does not
(anchoring), and may skip just the rows where it looks wrong: both make a model look better than it is. Labels come in
the order of the alphabet for the same reason.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from server.answering import parse_prediction_id
from server.bodies import StoredBody, describe_body, parse_body, read_body
from server.feedback import add_counted, is_stored, refuse_unknown_version
from server.parts import Parts, parts_of
from server.security import needs
from store.errors import BadInput, Refused
from store.feedback import NewFeedback
from store.records import Prediction
from store.review import is_drawn, next_to_review, skip_review
from store.versions import get_adapter, get_deployment, get_version

router = APIRouter(prefix="/v1/review", tags=["review"], dependencies=[needs("review")])

MOST_ROWS = 200


class ReviewBody(StoredBody):
    label: str | None = Field(None, min_length=1, max_length=200, description="The right label; may be a new one")
    correct: bool | None = Field(None, description="Whether the answer was right, where the label is not known")
    skip: bool = Field(False, description="You cannot tell what is right; the row is not handed out again")
    reason: str | None = Field(None, min_length=1, max_length=4_000, description="Why it is skipped")
    comment: str | None = Field(None, max_length=4_000, description="A remark on the label")
    by: str = Field("anonymous", min_length=1, max_length=128, description="Who says so")


@router.get("/next", summary="Rows that wait for a label, the most wanted first")
def next_rows(
    request: Request,
    model: str = Query(min_length=1, max_length=128),
    n: int = Query(20, ge=1, le=MOST_ROWS, description="How many rows at most"),
    answers: bool = Query(False, description="Also what the model answered; seeing it sways reviewers"),
) -> dict[str, Any]:
    """Rows of the audit sample. First those that the newest drift check asks labels for, in the order in which they
    were answered; then the newest ones."""
    with parts_of(request).database.read() as session:
        production = get_deployment(session, model).production
        found = next_to_review(session, model, production, rows=n)
        versions = {row.version for row in found.rows} | ({production} if production is not None else set())
        return {
            "model": model,
            "wanted": found.wanted.as_dict() if found.wanted is not None else None,
            "labels": _labels(session, model, versions),
            "rows": [_row(row, answers=answers) for row in found.rows],
        }


@router.post(
    "/{prediction_id}",
    status_code=201,
    openapi_extra=describe_body(ReviewBody),
    summary="Say what the right answer to a row was, or skip it",
)
async def review(prediction_id: str, request: Request, response: Response) -> dict[str, Any]:
    """Store a review of a row of the audit sample. It counts as a label that was given whatever the answer was. Saying
    the same again answers 200 and adds nothing."""
    parts = parts_of(request)
    body = parse_body(ReviewBody, await read_body(request, parts.settings.max_body_bytes))
    _refuse_mixture(body)
    model, version = parse_prediction_id(prediction_id)
    await asyncio.to_thread(refuse_unknown_version, parts, model, version)
    if not await is_stored(parts, prediction_id) or not await asyncio.to_thread(_is_drawn, parts, prediction_id):
        raise Refused(
            f"prediction {prediction_id} is not in the audit sample: it was not drawn at random, so its label may not "
            "measure; send it to POST /v1/feedback, where it teaches"
        )
    if body.skip:
        said, is_new = await asyncio.to_thread(_skip, parts, prediction_id, body)
    else:
        new = NewFeedback(
            prediction_id=prediction_id,
            model=model,
            version=version,
            label=body.label,
            correct=body.correct,
            input=None,
            comment=body.comment,
            by=body.by,
            origin="audit",
        )
        said, is_new = await add_counted(parts, new)
    if not is_new:
        response.status_code = 200
    return said


def _refuse_mixture(body: ReviewBody) -> None:
    """As for feedback, a label may come with `correct`, and counts then; a skip stands alone. Raises BadInput."""
    judges = body.label is not None or body.correct is not None
    if not judges and not body.skip:
        raise BadInput(
            "say the right 'label', whether the answer was 'correct', or 'skip' if you cannot tell", where="/label"
        )
    if judges and body.skip:
        raise BadInput("a row is either judged or skipped: leave out 'skip', or 'label' and 'correct'", where="/skip")
    if body.skip and body.comment is not None:
        raise BadInput("a comment belongs to a label; say why you skip a row as 'reason'", where="/comment")
    if not body.skip and body.reason is not None:
        raise BadInput("a reason belongs to a skip; remark on a label as 'comment'", where="/reason")


def _row(row: Prediction, *, answers: bool) -> dict[str, Any]:
    shown = {"prediction_id": row.id, "version": row.version, "input": row.input, "at": row.at.isoformat()}
    return {**shown, "answer": {"label": row.label, "score": round(row.score, 6)}} if answers else shown


def _labels(session: Session, model: str, versions: set[int]) -> list[str]:
    """What any of these versions can answer: a right answer of each can be confirmed, and production can learn."""
    of_each = (get_adapter(session, get_version(session, model, number)).labels for number in versions)
    return sorted({label for labels in of_each for label in labels})


def _is_drawn(parts: Parts, prediction_id: str) -> bool:
    with parts.database.read() as session:
        return is_drawn(session, prediction_id)


def _skip(parts: Parts, prediction_id: str, body: ReviewBody) -> tuple[dict[str, Any], bool]:
    with parts.database.write() as session:
        row, is_new = skip_review(session, prediction_id, by=body.by, reason=body.reason, now=parts.clock())
        assert row.skipped_at is not None  # noqa: S101  # skipped by this call or before
        at = row.skipped_at.isoformat()
        on_record = {"by": row.skipped_by, "reason": row.skip_reason, "at": at}
        return {"prediction_id": prediction_id, "status": "skipped", **on_record}, is_new

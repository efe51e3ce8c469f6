"""POST /v1/feedback: acknowledged only once it is durable."""

import asyncio
from datetime import timedelta
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from server.answering import parse_prediction_id
from server.bodies import StoredBody, describe_body, parse_body, read_body
from server.parts import Parts, parts_of
from server.security import needs
from store.errors import BadInput
from store.feedback import NewFeedback, add_feedback
from store.ids import made_at
from store.predictions import get_prediction
from store.versions import get_version

router = APIRouter(tags=["feedback"])

_ON_ITS_WAY = timedelta(seconds=1)
"""Servers write what they record well within this."""
_LOOK_EVERY_S = 0.05


class FeedbackBody(StoredBody):
    prediction_id: str = Field(min_length=1, max_length=200, description="The id that came with the answer")
    label: str | None = Field(None, min_length=1, max_length=200, description="The right label; may be a new one")
    correct: bool | None = Field(None, description="Whether the answer was right, where the label is not known")
    input: str | None = Field(None, min_length=1, max_length=100_000, description="The text, if it was not recorded")
    comment: str | None = Field(None, max_length=4_000)
    by: str = Field("anonymous", min_length=1, max_length=128, description="Who says so")
    origin: Literal["flagged", "audit"] = Field(
        "flagged", description="audit: the label is given whatever the answer was, as a review or ground truth is"
    )


@router.post(
    "/v1/feedback",
    status_code=201,
    dependencies=[needs("feedback")],
    openapi_extra=describe_body(FeedbackBody),
    summary="Say what the right answer was",
)
async def feedback(request: Request, response: Response) -> dict[str, Any]:
    """Store a verdict on a prediction. Saying the same again answers 200 and adds nothing."""
    parts = parts_of(request)
    body = parse_body(FeedbackBody, await read_body(request, parts.settings.max_body_bytes))
    if body.label is None and body.correct is None:
        raise BadInput("say the right 'label', or whether the answer was 'correct'", where="/label")
    model, version = parse_prediction_id(body.prediction_id)
    await asyncio.to_thread(refuse_unknown_version, parts, model, version)
    said, is_new = await add_counted(parts, await _as_new(parts, body, model, version))
    if not is_new:
        response.status_code = 200
    return said


async def add_counted(parts: Parts, new: NewFeedback) -> tuple[dict[str, Any], bool]:
    """Store a verdict and count it; returns what the caller is told, and whether it was new."""
    feedback_id, is_new = await asyncio.to_thread(_add, parts, new)
    if is_new:
        verdict = "label" if new.label is not None else ("right" if new.correct else "wrong")
        parts.metrics.feedback.labels(model=new.model, verdict=verdict).inc()
    return {"id": feedback_id, "status": "accepted"}, is_new


def refuse_unknown_version(parts: Parts, model: str, version: int) -> None:
    """Raises NotFound."""
    with parts.database.read() as session:
        get_version(session, model, version)


async def _as_new(parts: Parts, body: FeedbackBody, model: str, version: int) -> NewFeedback:
    """Raises BadInput where the text is neither known here nor sent along."""
    pending = parts.recorder.pending(body.prediction_id)
    recorded = pending is not None or await is_stored(parts, body.prediction_id)
    if not recorded and body.input is None:
        raise BadInput(
            f"prediction {body.prediction_id} was not recorded, so its text is not known here; "
            "send the text along as 'input'",
            where="/input",
        )
    return NewFeedback(
        prediction_id=body.prediction_id,
        model=model,
        version=version,
        label=body.label,
        correct=body.correct,
        input=body.input or (pending.input if pending else None),  # a kill may still take the buffered row
        comment=body.comment,
        by=body.by,
        origin=body.origin,
    )


async def is_stored(parts: Parts, prediction_id: str) -> bool:
    """Whether the prediction is in the store. One of a moment ago may still be on its way from another server.

    The time in an id is what its sender says: an id of the future is not waited for any longer than one of now. No
    thread is held meanwhile, as there are few, and recordings and promotions need them too.
    """
    give_up_at = min(made_at(prediction_id.rpartition(":")[2]), parts.clock()) + _ON_ITS_WAY
    while not await asyncio.to_thread(_find, parts, prediction_id):
        if parts.clock() >= give_up_at:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)  # another process decides when
    return True


def _find(parts: Parts, prediction_id: str) -> bool:
    with parts.database.read() as session:
        return get_prediction(session, prediction_id) is not None


def _add(parts: Parts, new: NewFeedback) -> tuple[str, bool]:
    with parts.database.write() as session:
        return add_feedback(session, new, now=parts.clock())

"""POST /v1/feedback: acknowledged only once it is durable."""

import asyncio
import time
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
    feedback_id, is_new, model = await asyncio.to_thread(_store, parts, body)
    if is_new:
        verdict = "label" if body.label is not None else ("right" if body.correct else "wrong")
        parts.metrics.feedback.labels(model=model, verdict=verdict).inc()
    else:
        response.status_code = 200
    return {"id": feedback_id, "status": "accepted"}


def _is_stored(parts: Parts, prediction_id: str) -> bool:
    """Whether the prediction is in the store. One of a moment ago may still be on its way from another server."""
    give_up_at = made_at(prediction_id.rpartition(":")[2]) + _ON_ITS_WAY
    while True:
        with parts.database.read() as session:
            if get_prediction(session, prediction_id) is not None:
                return True
        if parts.clock() >= give_up_at:
            return False
        time.sleep(_LOOK_EVERY_S)  # in a thread; another process decides when


def _store(parts: Parts, body: FeedbackBody) -> tuple[str, bool, str]:
    model, version = parse_prediction_id(body.prediction_id)
    with parts.database.read() as session:
        get_version(session, model, version)
    pending = parts.recorder.pending(body.prediction_id)
    recorded = pending is not None or _is_stored(parts, body.prediction_id)
    if not recorded and body.input is None:
        raise BadInput(
            f"prediction {body.prediction_id} was not recorded, so its text is not known here; "
            "send the text along as 'input'",
            where="/input",
        )
    new = NewFeedback(
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
    with parts.database.write() as session:
        feedback_id, is_new = add_feedback(session, new, now=parts.clock())
    return feedback_id, is_new, model

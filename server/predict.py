"""POST /v1/models/{model}/predict"""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from server.answering import answer_texts
from server.bodies import describe_body, parse_body, read_body, without_nul
from server.callers import unless_gone
from server.parts import parts_of
from server.problems import status_of
from server.security import needs
from store.errors import DriftgateError

router = APIRouter(tags=["predict"])

Tag = Annotated[str, StringConstraints(max_length=128), AfterValidator(without_nul)]


class PredictBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: list[str] = Field(description="Texts, one answer each", examples=[["Where is my parcel?"]])
    version: int | None = Field(None, ge=1, description="A version to ask; the production version by default")
    tags: dict[Tag, Tag] = Field(default_factory=dict, max_length=16, description="What to slice by later")
    probabilities: bool = Field(False, description="Also give the probability of every label")
    truncate: bool = Field(False, description="Cut off what is beyond the model's limit instead of refusing it")


@router.post(
    "/v1/models/{model}/predict",
    dependencies=[needs("predict")],
    openapi_extra=describe_body(PredictBody),
    summary="Labels for texts",
)
async def predict(model: str, request: Request) -> dict[str, Any]:
    """Label each text with the production version, or with the one that is named.

    Each answer carries its id, for feedback, and whether it was recorded.
    """
    parts = parts_of(request)
    version = "none"
    code = 500
    try:
        body = parse_body(PredictBody, await read_body(request, parts.settings.max_body_bytes))
        answering = answer_texts(
            parts,
            body.inputs,
            model=model,
            version=body.version,
            truncate=body.truncate,
            tags=body.tags,
            request_id=request.state.request_id,
        )
        target, answered = await unless_gone(request, answering)
        version, code = str(target.served.version), 200
    except DriftgateError as error:
        code = status_of(type(error))
        raise
    finally:
        known = model if parts.router.knows(model) else "unknown"
        parts.metrics.requests.labels(model=known, version=version, code=str(code)).inc()
    labels = target.served.labels
    predictions: list[dict[str, Any]] = []
    for item in answered:
        entry: dict[str, Any] = {"id": item.id, "label": item.answer.label, "score": round(item.answer.score, 6)}
        if body.probabilities:
            entry["probabilities"] = {
                label: round(float(p), 6) for label, p in zip(labels, item.answer.probabilities, strict=True)
            }
        entry["recorded"] = item.recorded
        predictions.append(entry)
    return {"model": model, "version": target.served.version, "predictions": predictions}

"""POST /v1/models/{model}/predict"""

from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from server.answering import answer_texts
from server.bodies import parse_body, read_body, without_nul
from server.callers import WhileListening, deadline_of
from server.counting import counted
from server.hot_route import HotRoute
from server.parts import parts_of

Tag = Annotated[str, StringConstraints(max_length=128), AfterValidator(without_nul)]


class PredictBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: list[str] = Field(description="Texts, one answer each", examples=[["Where is my parcel?"]])
    version: int | None = Field(None, ge=1, description="A version to ask; the production version by default")
    tags: dict[Tag, Tag] = Field(default_factory=dict, max_length=16, description="What to slice by later")
    probabilities: bool = Field(False, description="Also give the probability of every label")
    truncate: bool = Field(False, description="Cut off what is beyond the model's limit instead of refusing it")


_PlainTag = Annotated[str, msgspec.Meta(max_length=128)]


class _FastBody(msgspec.Struct, forbid_unknown_fields=True):
    """PredictBody again, decoded ten times as fast; what it refuses goes to PredictBody, which says what is wrong."""

    inputs: list[str]
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    tags: Annotated[dict[_PlainTag, _PlainTag], msgspec.Meta(max_length=16)] = {}  # msgspec copies it
    probabilities: bool = False
    truncate: bool = False


_decode = msgspec.json.Decoder(_FastBody).decode
_encode = msgspec.json.Encoder().encode


def read_predict_body(raw: bytes) -> PredictBody | _FastBody:
    """Raises Malformed for wrong JSON or encoding, BadInput that names the field."""
    try:
        body = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return parse_body(PredictBody, raw)
    if any("\x00" in tag for pair in body.tags.items() for tag in pair):
        return parse_body(PredictBody, raw)
    return body


async def predict(model: str, request: Request) -> Response:
    """Label each text with the production version, or with the one that is named.

    Each answer carries its id, for feedback, and whether it was recorded.
    """
    parts = parts_of(request)
    with counted(parts, model) as outcome:
        body = read_predict_body(await read_body(request, parts.settings.max_body_bytes))
        with WhileListening(request):
            target, answered = await answer_texts(
                parts,
                body.inputs,
                model=model,
                version=body.version,
                truncate=body.truncate,
                tags=body.tags,
                request_id=request.state.request_id,
                caller=request.scope["client"],
                timeout_s=deadline_of(request),
            )
        outcome.version = str(target.served.version)
    labels = target.served.labels
    predictions: list[dict[str, Any]] = []
    for item in answered:
        entry: dict[str, Any] = {"id": item.id, "label": item.answer.label, "score": round(item.answer.score, 6)}
        if body.probabilities:
            shares = item.answer.probabilities.tolist()
            entry["probabilities"] = {label: round(p, 6) for label, p in zip(labels, shares, strict=True)}
        entry["recorded"] = item.recorded
        predictions.append(entry)
    answer = {"model": model, "version": target.served.version, "predictions": predictions}
    return Response(_encode(answer), media_type="application/json")


PREDICT = HotRoute(
    "/v1/models/{model}/predict",
    predict,
    body=PredictBody,
    scope="predict",
    tags=["predict"],
    summary="Labels for texts",
)

"""The REST core of the Open Inference Protocol v2, as Triton, KServe and MLServer speak it.

Specification: https://github.com/kserve/open-inference-protocol. A text model takes one BYTES tensor `text` [n] and
answers `label` BYTES [n], `score` FP32 [n], `probabilities` FP32 [n, classes], `prediction_id` BYTES [n].
"""

from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import JSONResponse

from server.answering import Answered, answer_texts
from server.bodies import describe_body, parse_body, read_body
from server.callers import unless_gone
from server.parts import parts_of
from server.problems import status_of
from server.routing import Target
from server.security import needs
from store.errors import BadInput, DriftgateError, NotFound

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

OUTPUTS = ("label", "score", "probabilities", "prediction_id")


def _flat(data: object) -> object:
    """Nested row-major data as the protocol allows it, flattened one level at a time."""
    while isinstance(data, list) and data and all(isinstance(item, list) for item in data):
        data = [item for row in data for item in row]
    return data


class InputTensor(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    shape: list[Annotated[int, Field(ge=0, lt=2**31)]]
    datatype: str
    data: Annotated[list[str], BeforeValidator(_flat)]


class OutputRequest(BaseModel):
    name: str


class InferBody(BaseModel):
    id: str | None = Field(None, max_length=200)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[InputTensor]
    outputs: list[OutputRequest] | None = None


@router.get("", summary="Server metadata")
def server_metadata() -> dict[str, Any]:
    return {"name": "driftgate", "version": installed_version("driftgate"), "extensions": []}


@router.get("/health/live", summary="The process answers")
def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/health/ready", summary="Models are loaded")
def ready(request: Request) -> Response:
    is_ready = parts_of(request).router.ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get("/models/{model}", dependencies=[needs(None)], summary="Model metadata")
@router.get("/models/{model}/versions/{version}", dependencies=[needs(None)], summary="Version metadata")
async def metadata(model: str, request: Request, version: str | None = None) -> dict[str, Any]:
    target = await parts_of(request).router.target(model, _number(model, version))
    classes = len(target.served.labels)
    return {
        "name": model,
        "versions": [str(target.served.version)],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
            {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
        ],
    }


@router.get("/models/{model}/ready", dependencies=[needs(None)], summary="The model can be asked")
@router.get("/models/{model}/versions/{version}/ready", dependencies=[needs(None)], summary="The version can be asked")
async def model_ready(model: str, request: Request, version: str | None = None) -> dict[str, Any]:
    await parts_of(request).router.target(model, _number(model, version))
    return {"name": model, "ready": True}


@router.post(
    "/models/{model}/infer", dependencies=[needs("predict")], openapi_extra=describe_body(InferBody), summary="Infer"
)
@router.post(
    "/models/{model}/versions/{version}/infer",
    dependencies=[needs("predict")],
    openapi_extra=describe_body(InferBody),
    summary="Infer with a version",
)
async def infer(model: str, request: Request, version: str | None = None) -> dict[str, Any]:
    parts = parts_of(request)
    served, code = "none", 500
    try:
        body = parse_body(InferBody, await read_body(request, parts.settings.max_body_bytes))
        wanted = _wanted(body)
        answering = answer_texts(
            parts,
            _texts(body),
            model=model,
            version=_number(model, version),
            truncate=body.parameters.get("truncate") is True,
            tags={},
            request_id=request.state.request_id,
        )
        target, answered = await unless_gone(request, answering)
        served, code = str(target.served.version), 200
    except DriftgateError as error:
        code = status_of(type(error))
        raise
    finally:
        known = model if parts.router.knows(model) else "unknown"
        parts.metrics.requests.labels(model=known, version=served, code=str(code)).inc()
    answer: dict[str, Any] = {
        "model_name": model,
        "model_version": served,
        "outputs": [_tensor(name, target, answered) for name in wanted],
    }
    if body.id is not None:
        answer["id"] = body.id
    return answer


def _number(model: str, version: str | None) -> int | None:
    if version is None:
        return None
    if not (version.isascii() and version.isdecimal()) or len(version) > 9:
        raise NotFound(f"no version {version[:40]!r} of model {model!r}; versions are whole numbers")
    return int(version)


def _texts(body: InferBody) -> list[str]:
    if len(body.inputs) != 1 or body.inputs[0].name != "text":
        names = ", ".join(tensor.name for tensor in body.inputs) or "none"
        raise BadInput(f"inputs: expected the one tensor 'text', got {names}")
    tensor = body.inputs[0]
    if tensor.datatype != "BYTES":
        raise BadInput(f"inputs/text: datatype must be BYTES, got {tensor.datatype}")
    if len(tensor.shape) != 1 and tensor.shape[1:] != [1]:
        dimensions = "x".join(map(str, tensor.shape[:8])) or "none"
        raise BadInput(f"inputs/text: shape must be [n] or [n, 1], the dimensions are {dimensions}")
    if tensor.shape[0] != len(tensor.data):
        raise BadInput(f"inputs/text: shape asks for {tensor.shape[0]} elements, data has {len(tensor.data)}")
    return tensor.data


def _wanted(body: InferBody) -> Sequence[str]:
    wanted = [output.name for output in body.outputs] if body.outputs else list(OUTPUTS)
    for name in wanted:
        if name not in OUTPUTS:
            raise BadInput(f"outputs: no output {name[:60]!r}; there are {', '.join(OUTPUTS)}")
    if len(set(wanted)) != len(wanted):
        raise BadInput("outputs: each output can be asked for once")
    return wanted


def _tensor(name: str, target: Target, answered: Sequence[Answered]) -> dict[str, Any]:
    rows = len(answered)
    if name == "label":
        return {"name": name, "datatype": "BYTES", "shape": [rows], "data": [a.answer.label for a in answered]}
    if name == "score":
        return {"name": name, "datatype": "FP32", "shape": [rows], "data": [a.answer.score for a in answered]}
    if name == "prediction_id":
        return {"name": name, "datatype": "BYTES", "shape": [rows], "data": [a.id for a in answered]}
    return {
        "name": name,
        "datatype": "FP32",
        "shape": [rows, len(target.served.labels)],
        "data": [float(p) for a in answered for p in a.answer.probabilities],
    }

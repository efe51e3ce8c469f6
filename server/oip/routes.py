"""The protocol over REST."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from server.bodies import describe_body, parse_body, read_body
from server.callers import WhileListening, deadline_of
from server.counting import counted
from server.hot_route import HotRoute
from server.oip import core, repository
from server.oip.content_encoding import decompress
from server.oip.meaning import version_number
from server.oip.messages import TensorMetadata
from server.oip.rest import (
    LENGTH_HEADER,
    IndexBody,
    InferBody,
    RepositoryBody,
    decode_load_parameters,
    decode_request,
    encode_answer,
)
from server.parts import Parts, parts_of
from server.security import needs

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_ANY_KEY = [needs(None)]
_ADMIN = [needs("admin")]


@router.get("", summary="Server metadata")
async def server_metadata() -> dict[str, Any]:
    told = core.server_metadata()
    return {"name": told.name, "version": told.version, "extensions": list(told.extensions)}


@router.get("/health/live", summary="The process answers")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/health/ready", summary="Models are loaded")
async def ready(request: Request) -> Response:
    is_ready = parts_of(request).router.ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get("/models/{model}", dependencies=_ANY_KEY, summary="Model metadata")
@router.get("/models/{model}/versions/{version}", dependencies=_ANY_KEY, summary="Version metadata")
async def metadata(model: str, request: Request, version: str = "") -> dict[str, Any]:
    told = await core.model_metadata(parts_of(request), model, version_number(model, version))
    return {
        "name": told.name,
        "versions": [str(number) for number in told.versions],
        "platform": told.platform,
        "inputs": [_described(tensor) for tensor in told.inputs],
        "outputs": [_described(tensor) for tensor in told.outputs],
    }


@router.get("/models/{model}/ready", dependencies=_ANY_KEY, summary="The model can be asked")
@router.get("/models/{model}/versions/{version}/ready", dependencies=_ANY_KEY, summary="The version can be asked")
async def model_ready(model: str, request: Request, version: str = "") -> dict[str, Any]:
    await parts_of(request).router.target(model, version_number(model, version))
    return {"name": model, "ready": True}


async def infer(model: str, request: Request, version: str = "") -> Response:
    """Tensors for tensors, as JSON or with raw ones behind it."""
    parts = parts_of(request)
    with counted(parts, model) as outcome:
        asked, caller_id = decode_request(await _body(request, parts), request.headers.get(LENGTH_HEADER))
        with WhileListening(request):
            answer = await core.infer(
                parts,
                asked.within(deadline_of(request)),
                model=model,
                version=version_number(model, version),
                request_id=request.state.request_id,
                caller=request.scope["client"],
            )
        outcome.version = str(answer.version)
        body, json_length = encode_answer(answer, caller_id)
    if json_length is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type="application/octet-stream", headers={LENGTH_HEADER: str(json_length)})


def _infer_route(path: str, summary: str) -> HotRoute:
    route = HotRoute(path, infer, body=InferBody, scope="predict", tags=["open inference protocol"], summary=summary)
    content = (route.openapi_extra or {})["requestBody"]["content"]
    content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    return route


HOT_ROUTES = (
    _infer_route("/v2/models/{model}/infer", "Infer"),
    _infer_route("/v2/models/{model}/versions/{version}/infer", "Infer with a version"),
)


@router.post(
    "/repository/index",
    dependencies=_ANY_KEY,
    openapi_extra=describe_body(IndexBody),
    summary="All versions of all models, and whether they can be asked",
)
async def repository_index(request: Request) -> list[dict[str, str]]:
    parts = parts_of(request)
    body = await _body(request, parts)
    asked = parse_body(IndexBody, body) if body else IndexBody(ready=False)
    entries = await repository.index(parts, ready_only=asked.ready)
    return [{"name": e.name, "version": str(e.version), "state": e.state, "reason": e.reason} for e in entries]


@router.post(
    "/repository/models/{model}/load",
    dependencies=_ADMIN,
    openapi_extra=describe_body(RepositoryBody),
    summary="Put a model back into service",
)
async def load(model: str, request: Request) -> dict[str, Any]:
    parts = parts_of(request)
    await repository.load(parts, model, decode_load_parameters(await _body(request, parts)))
    return {}


@router.post(
    "/repository/models/{model}/unload",
    dependencies=_ADMIN,
    openapi_extra=describe_body(RepositoryBody),
    summary="Take a model out of service, on every server",
)
async def unload(model: str, request: Request) -> dict[str, Any]:
    parts = parts_of(request)
    decode_load_parameters(await _body(request, parts))
    await repository.unload(parts, model)
    return {}


async def _body(request: Request, parts: Parts) -> bytes:
    limit = parts.settings.max_body_bytes
    return decompress(await read_body(request, limit), request.headers.get("content-encoding", ""), limit_bytes=limit)


def _described(tensor: TensorMetadata) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}

"""What there is to know about models, versions and runs, and the two levers: promote and roll back."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from sqlalchemy.orm import Session

from server.bodies import StoredBody, describe_body, parse_body, read_body
from server.parts import parts_of
from server.security import needs
from store import views
from store.checks import last_checks
from store.events import history
from store.records import Deployment
from store.runs import get_run, run_metrics
from store.versions import get_deployment, list_models, promote, rollback

router = APIRouter(prefix="/v1", tags=["models"])

ANY_KEY = [needs(None)]
ADMIN = [needs("admin")]


class LeverBody(StoredBody):
    reason: str = Field("asked for through the API", min_length=1, max_length=1000)
    by: str = Field("admin", min_length=1, max_length=128)


@router.get("/models", dependencies=ANY_KEY, summary="All models")
def all_models(request: Request) -> dict[str, Any]:
    with parts_of(request).database.read() as session:
        return {"models": [views.deployment_view(row) for row in list_models(session)]}


@router.get("/models/{model}", dependencies=ANY_KEY, summary="One model with its versions")
def one_model(model: str, request: Request) -> dict[str, Any]:
    with parts_of(request).database.read() as session:
        return views.model_view(session, model)


@router.get("/models/{model}/history", dependencies=ANY_KEY, summary="The story of a model")
def model_history(model: str, request: Request, limit: int = Query(200, ge=1, le=1000)) -> dict[str, Any]:
    with parts_of(request).database.read() as session:
        get_deployment(session, model)
        return {"model": model, "events": [views.event_view(e) for e in history(session, model, limit=limit)]}


@router.get("/models/{model}/drift", dependencies=ANY_KEY, summary="The newest drift checks of a model")
def model_drift(model: str, request: Request, limit: int = Query(50, ge=1, le=1000)) -> dict[str, Any]:
    with parts_of(request).database.read() as session:
        get_deployment(session, model)
        return {"model": model, "checks": [views.check_view(c) for c in last_checks(session, model, limit=limit)]}


@router.get("/runs/{run}", dependencies=ANY_KEY, summary="One run with its curves")
def one_run(run: str, request: Request) -> dict[str, Any]:
    with parts_of(request).database.read() as session:
        return views.run_view(get_run(session, run), run_metrics(session, run))


@router.post(
    "/models/{model}/versions/{version}/promote",
    dependencies=ADMIN,
    openapi_extra=describe_body(LeverBody),
    summary="Put a version into production",
)
async def promote_version(model: str, version: int, request: Request) -> dict[str, Any]:
    now = parts_of(request).clock()
    body = await _lever(request)
    return await _pull(
        request, lambda session: promote(session, model, version, by=body.by, reason=body.reason, now=now)
    )


@router.post(
    "/models/{model}/rollback",
    dependencies=ADMIN,
    openapi_extra=describe_body(LeverBody),
    summary="Return to the production version before",
)
async def roll_back(model: str, request: Request) -> dict[str, Any]:
    now = parts_of(request).clock()
    body = await _lever(request)
    return await _pull(request, lambda session: rollback(session, model, by=body.by, reason=body.reason, now=now))


async def _lever(request: Request) -> LeverBody:
    return parse_body(LeverBody, await read_body(request, parts_of(request).settings.max_body_bytes) or b"{}")


async def _pull(request: Request, change: Callable[[Session], Deployment]) -> dict[str, Any]:
    """Change a deployment off the event loop, which goes on answering, and serve what it says."""
    parts = parts_of(request)

    def write() -> dict[str, Any]:
        with parts.database.write() as session:
            return views.deployment_view(change(session))

    view = await asyncio.to_thread(write)
    await parts.router.refresh()
    return view

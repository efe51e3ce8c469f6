"""The ASGI application: routes over parts that were built elsewhere."""

from dataclasses import dataclass

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from server import feedback, models, review
from server.console import pages
from server.hot_route import HotPaths
from server.metrics import exposition
from server.oip import routes as oip
from server.parts import Parts, parts_of
from server.predict import PREDICT
from server.problems import install_problem_handlers
from server.request_ids import RequestIds
from server.shedding import Shedding

DESCRIPTION = """Many fine-tuned models behind one door: predictions, feedback, reviews, drift, promotion.

`/v1` is made for people, `/v2` is the Open Inference Protocol."""


@dataclass(frozen=True, slots=True)
class Surface:
    app: ASGIApp
    shedding: Shedding
    """What an HTTP server asks before it hands a request to `app`."""


def create_surface(parts: Parts) -> Surface:
    """The whole surface. Every request has an id, hot routes are answered first, and all the rest is FastAPI's."""
    documented = _documented(parts)
    hot_paths = HotPaths(documented, [PREDICT, *oip.HOT_ROUTES])
    return Surface(RequestIds(hot_paths), Shedding(parts, documented, hot_paths))


def _documented(parts: Parts) -> FastAPI:
    app = FastAPI(title="driftgate", description=DESCRIPTION)
    app.state.parts = parts
    install_problem_handlers(app)
    for module in (feedback, review, models, oip):
        app.include_router(module.router)
    app.include_router(pages.router)
    app.include_router(pages.open_router)

    @app.get("/healthz", tags=["health"], summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="Models are loaded")
    async def readyz(request: Request) -> Response:
        router = parts_of(request).router
        body = {"status": "ready" if router.ready else "not ready", "problems": router.complaints}
        return JSONResponse(body, 200 if router.ready else 503)

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
    def metrics() -> Response:
        return Response(exposition(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app

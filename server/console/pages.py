"""The console: every model on one page, the story of each, what its drift checks found; and the advisor."""

import json
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from server.console.card import load_card
from server.console.drift import drift_page
from server.console.rendering import render
from server.console.runs import compare_page, run_page
from server.parts import parts_of
from server.security import has_scope, needs
from store import views
from store.artifacts import MANIFEST
from store.checks import get_check, last_checks, why_no_report
from store.errors import NotFound, unknown
from store.events import history
from store.feedback import count_feedback
from store.predictions import count_predictions
from store.runs import list_runs
from store.versions import list_models

router = APIRouter(include_in_schema=False, dependencies=[needs(None)])
open_router = APIRouter(include_in_schema=False)
"""What is the same on every installation, and so needs no key: the advisor, style sheets, scripts."""

_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
_SENDS_NOTHING = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; connect-src 'none'"
"""For a page that works in the browser alone: the browser itself sees to it."""
_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
_STATIC = {
    "console.css": "text/css",
    "advisor.css": "text/css",
    "advice.js": "text/javascript",
    "advisor.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""Media type of each file in `static/`."""


@router.get("/")
def fleet(request: Request) -> Response:
    """Each model on one line."""
    with parts_of(request).database.read() as session:
        rows = []
        for deployment in list_models(session):
            checks = last_checks(session, deployment.model, limit=1)
            rows.append(
                {
                    "deployment": views.deployment_view(deployment),
                    "check": views.check_view(checks[-1]) if checks else None,
                    "predictions": count_predictions(session, deployment.model),
                    "feedback": count_feedback(session, deployment.model),
                }
            )
    return _page("fleet.html", rows=rows)


@router.get("/models/{model}")
def model_story(model: str, request: Request) -> Response:
    """A model: what is deployed, what happened, what was checked and trained."""
    with parts_of(request).database.read() as session:
        return _page(
            "model.html",
            model=views.model_view(session, model),
            events=[views.event_view(e) for e in reversed(history(session, model, limit=200))],
            checks=[views.check_view(c) for c in reversed(last_checks(session, model, limit=20))],
            runs=[views.run_view(r) for r in reversed(list_runs(session, model))],
        )


@router.get("/models/{model}/drift")
def model_drift(model: str, request: Request, check: str | None = None) -> Response:
    """What the newest check with enough data says, or the one that is asked for, and how it came to that.

    Callers' texts are for those who may read them anyway, at `/v1/review/next`.
    """
    parts, texts = parts_of(request), has_scope(request, "review")
    with parts.database.read() as session:
        return _page("drift.html", **drift_page(session, model, check, parts.settings, parts.clock(), texts=texts))


@router.get("/models/{model}/{version}")
def model_card(model: str, version: int, request: Request) -> Response:
    """The card of a version: what it is for, how good it is against what costs less, and where it is not."""
    parts = parts_of(request)
    return _page("card.html", **load_card(parts.database, parts.artifacts, model, version))


@router.get("/runs/compare")
def runs_compared(request: Request, run: Annotated[list[str], Query(default_factory=list)]) -> Response:
    """Runs side by side; what differs comes first."""
    with parts_of(request).database.read() as session:
        return _page("compare.html", **compare_page(session, run))


@router.get("/runs/{run}")
def run_story(run: str, request: Request) -> Response:
    """A run: how far it is, its curves, what it was trained with, and what came of it."""
    parts = parts_of(request)
    with parts.database.read() as session:
        return _page("run.html", **run_page(session, run, parts.clock()))


@router.get("/drift/{check}")
def drift_report(check: str, request: Request) -> Response:
    """The Evidently report of a check. It brings its own scripts, so it is sandboxed away from everything else."""
    parts = parts_of(request)
    with parts.database.read() as session:
        row = get_check(session, check)
    if row.report is None:
        raise NotFound(f"check {check} has no report: {why_no_report(row)}")
    page = next(p for p in parts.artifacts.fetch(row.report).iterdir() if p.name != MANIFEST)
    policy = "sandbox allow-scripts; default-src 'unsafe-inline' 'unsafe-eval' data: blob:"
    return HTMLResponse(page.read_text("utf-8"), headers={"Content-Security-Policy": policy})


@open_router.get("/advisor")
def advisor() -> Response:
    """What to train in a situation. Computed in the browser, from tables that lie in the page."""
    page = _page("advisor.html", tables=_advisor_tables())
    page.headers["Content-Security-Policy"] = _SENDS_NOTHING
    return page


@open_router.get("/static/{name}")
def static_file(name: str) -> Response:
    if name not in _STATIC:
        raise unknown("file", name, _STATIC)
    text = files("server.console").joinpath("static", name).read_text("utf-8")
    return Response(text, media_type=_STATIC[name], headers=_NO_SNIFFING)


@cache
def _advisor_tables() -> dict[str, Any]:
    """Written by `make advisor`, from what the trainer itself goes by."""
    tables: dict[str, Any] = json.loads(files("server.console").joinpath("advisor.json").read_text("utf-8"))
    return tables


def _page(template: str, **values: Any) -> Response:
    return HTMLResponse(render(template, **values), headers={"Content-Security-Policy": _POLICY, **_NO_SNIFFING})

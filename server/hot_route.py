"""Routes that FastAPI documents and that do not pass through it.

FastAPI's machinery (middleware, dependency solving, response models, exit stacks) costs a request about 55
microseconds, a match of its path and a call 5: with a small model that is the difference between a core that is full
and one that is not. Endpoints take what stands in the path and `request`, read their body themselves, and answer with
a Response.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.bodies import describe_body
from server.problems import as_bug, as_http_problem, as_problem
from server.security import allow
from store.errors import DriftgateError

Endpoint = Callable[..., Awaitable[Response]]


class HotRoute(APIRoute):
    """A POST to `path`, whose parts in braces are what the endpoint takes by name."""

    def __init__(self, path: str, endpoint: Endpoint, *, body: type[BaseModel], scope: str, **described: Any) -> None:
        """body: what the endpoint reads, for OpenAPI. scope: the one a key needs."""
        super().__init__(path, endpoint, methods=["POST"], openapi_extra=describe_body(body), **described)
        self.ending = path.rpartition("/")[2]
        self.pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
        self.needs_scope = scope
        self.app = _never_here


async def _never_here(scope: Scope, receive: Receive, send: Send) -> None:
    """FastAPI's own way to a hot route, for paths that HotPaths does not take for one: nothing is there."""
    raise HTTPException(404)


_REMEMBERED_PATHS, _REMEMBERED_LETTERS = 4096, 256
"""Anybody may send paths of 64 KiB, which must not stay."""


class HotPaths:
    """Answers what is for a hot route; all else is for `app`, which documents them."""

    def __init__(self, app: FastAPI, routes: Sequence[HotRoute]) -> None:
        self._app: ASGIApp = app
        self._documented = app
        self._routes: dict[str, list[HotRoute]] = {}
        self._remembered = lru_cache(_REMEMBERED_PATHS)(self._search)
        for route in routes:
            app.router.routes.append(route)
            self._routes.setdefault(route.ending, []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.find(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        route, named = found
        scope["app"] = self._documented
        await _answer(route, Request(scope, receive, send), named, send)

    def find(self, path: str) -> tuple[HotRoute, Mapping[str, str]] | None:
        """Which hot route a POST to `path` is for, and what stands in the path's parts."""
        return self._remembered(path) if len(path) <= _REMEMBERED_LETTERS else self._search(path)

    def _search(self, path: str) -> tuple[HotRoute, Mapping[str, str]] | None:
        for route in self._routes.get(path.rpartition("/")[2], ()):
            if match := route.pattern.fullmatch(path):
                return route, match.groupdict()
        return None


async def _answer(route: HotRoute, request: Request, named: Mapping[str, str], send: Send) -> None:
    bug: Exception | None = None
    try:
        allow(request, route.needs_scope)
        response: Response = await route.endpoint(request=request, **named)
    except DriftgateError as error:
        response = as_problem(request, error)
    except HTTPException as error:
        response = as_http_problem(request, error)
    except Exception as error:
        response, bug = as_bug(request, error), error
    await response(request.scope, request.receive, send)
    if bug is not None:
        raise bug  # the server logs it once, with its trace

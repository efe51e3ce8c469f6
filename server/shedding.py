"""Load shedding: what a full queue would refuse is refused before it costs anything.

Under overload most requests are refused, so what a refusal costs decides what is left for the others. Answered like
any other request, one takes a third of a millisecond on a machine whose caches the model has emptied: a task, the
machinery of ASGI, its timers, a look at its body. Here its head tells all that is needed. Nothing is refused here that
the endpoint would take, and the words are the same; only does a request with mistakes of its own hear of the queue
first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from server.batching import Batcher
from server.hot_route import HotPaths
from server.parts import Parts
from server.problems import as_problem
from server.request_ids import REQUEST_ID, request_id_of
from server.security import allow
from store.errors import Busy, DriftgateError

_VERSION = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a POST to some path asks for, where a version is ready to answer it."""

    model: str
    scope: str
    """That a key must have for it."""
    batcher: Batcher


class Shedding:
    """Looks at requests by their heads."""

    def __init__(self, parts: Parts, documented: FastAPI, hot_paths: HotPaths) -> None:
        self._parts = parts
        self._documented = documented
        self._hot_paths = hot_paths

    def is_full(self, path: str) -> bool:
        """Whether the queue that a POST to `path` would join is full."""
        asked = self._asked(path)
        return asked is not None and not asked.batcher.has_room(asked.model)

    def refusal(self, path: str, headers: Sequence[tuple[bytes, bytes]]) -> Response | None:
        """The 429 for a POST to `path` that has come whole, counted; None where the endpoint is to answer.

        headers: names in lower case. A caller who may not ask at all hears that from the endpoint.
        """
        asked = self._asked(path)
        if asked is None:
            return None
        request = Request({"type": "http", "method": "POST", "path": path, "headers": headers, "app": self._documented})
        try:
            allow(request, asked.scope)
            asked.batcher.refuse_if_full(asked.model, at_least_tokens=1)
        except Busy as busy:
            response = as_problem(request, busy)
        except DriftgateError:
            return None
        else:
            return None
        response.headers[REQUEST_ID] = request_id_of(request.headers.get(REQUEST_ID, ""))
        self._parts.metrics.count_request(asked.model, "none", response.status_code)
        return response

    def _asked(self, path: str) -> _Asked | None:
        found = self._hot_paths.find(path)
        if found is None:
            return None
        route, named = found
        model, version = named["model"], named.get("version")
        if version is not None and not _VERSION.fullmatch(version):
            return None
        target = self._parts.router.resident(model, None if version is None else int(version))
        return None if target is None else _Asked(model, route.needs_scope, target.runtime.batcher)

"""Load shedding: what a full queue would refuse is refused before it costs anything.

Under overload most requests are refused, so what a refusal costs decides what is left for the others. Answered like
any other request, one takes a third of a millisecond on a machine whose caches the model has emptied: a task, the
machinery of ASGI, its body, its timers. Here it takes no more than its head. Nothing is refused here that the endpoint
would not refuse, and the words are the same; whatever is out of the ordinary is left to the endpoint.
"""

import re
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from server.hot_route import HotPaths
from server.parts import Parts
from server.problems import as_problem, status_of
from server.request_ids import REQUEST_ID, request_id_of
from server.security import allow
from store.errors import Busy, DriftgateError

_VERSION = re.compile("[0-9]{1,9}")


class Shedding:
    """Looks at requests of which only the head is there."""

    def __init__(self, parts: Parts, documented: FastAPI, hot_paths: HotPaths) -> None:
        self._parts = parts
        self._documented = documented
        self._hot_paths = hot_paths

    def refusal(self, path: str, headers: Sequence[tuple[bytes, bytes]]) -> Response | None:
        """The 429 for a POST to `path` whose queue is full, else None.

        headers: names in lower case. A caller who may not ask at all hears that from the endpoint.
        """
        found = self._hot_paths.find(path)
        if found is None:
            return None
        route, named = found
        model = named["model"]
        version = named.get("version")
        if version is not None and not _VERSION.fullmatch(version):
            return None
        target = self._parts.router.resident(model, None if version is None else int(version))
        if target is None:
            return None
        try:
            target.runtime.batcher.refuse_if_full(model, at_least_tokens=1)
        except Busy as error:
            return self._refused(error, route.needs_scope, model, path, headers)
        return None

    def _refused(
        self, error: Busy, scope: str, model: str, path: str, headers: Sequence[tuple[bytes, bytes]]
    ) -> Response | None:
        request = Request({"type": "http", "method": "POST", "path": path, "headers": headers, "app": self._documented})
        try:
            allow(request, scope)
        except DriftgateError:
            return None
        response = as_problem(request, error)
        response.headers[REQUEST_ID] = request_id_of(request.headers.get(REQUEST_ID, ""))
        self._parts.metrics.count_request(model, "none", status_of(Busy))
        return response

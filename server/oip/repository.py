"""Triton's model repository extension: what is there, and taking a model out of service and putting it back.

A model that is unloaded is so on every server and stays so: the store says it, and each server follows.
"""

import asyncio
from collections.abc import Collection

from server.oip.messages import IndexEntry
from server.parts import Parts
from server.routing import NotReady
from store.errors import BadInput, NotFound
from store.versions import Route, routes, set_unloaded, version_states

_IGNORED = frozenset({"unload_dependents"})
"""Parameters that every Triton client sends and that mean nothing here."""


async def index(parts: Parts, *, ready_only: bool) -> list[IndexEntry]:
    """All versions of all models, as this server can answer them now."""
    found, states = await asyncio.to_thread(_read, parts)
    entries = [_entry(parts, found[model], number, state) for model, number, state in states if model in found]
    return [entry for entry in entries if entry.state == "READY" or not ready_only]


async def load(parts: Parts, model: str, parameters: Collection[str]) -> None:
    """Put a model back into service, as its deployment is by now. Raises NotFound, BadInput; NotReady if it fails."""
    if unknown := sorted(set(parameters) - _IGNORED):
        raise BadInput(
            f"parameters: {unknown[0][:60]!r} cannot be given on load: versions are immutable here; "
            "register a new version with `driftgate adapter import` or `driftgate train`"
        )
    await _switch(parts, model, unloaded=False)
    if complaint := parts.router.complaints.get(model):
        raise NotReady(f"model {model!r} is put back into service but cannot be loaded: {complaint}")


async def unload(parts: Parts, model: str) -> None:
    """Take a model out of service; what is under way still gets its answer. Raises NotFound."""
    await _switch(parts, model, unloaded=True)


async def _switch(parts: Parts, model: str, *, unloaded: bool) -> None:
    def write() -> None:
        with parts.database.write() as session:
            set_unloaded(session, model, unloaded, by="model repository", now=parts.clock())

    await asyncio.to_thread(write)
    parts.router.try_again(model)
    await parts.router.refresh()


def _read(parts: Parts) -> tuple[dict[str, Route], list[tuple[str, int, str]]]:
    with parts.database.read() as session:
        return {route.model: route for route in routes(session)}, version_states(session)


def _entry(parts: Parts, route: Route, number: int, state: str) -> IndexEntry:
    """route: as the store has it; the router may be behind it, or unable to follow."""
    model, production = route.model, number == route.production
    if state == "archived":
        return IndexEntry(model, number, "UNAVAILABLE", "archived")
    if route.unloaded:
        return IndexEntry(model, number, "UNAVAILABLE", "unloaded")
    if production and (complaint := parts.router.complaints.get(model)):
        return IndexEntry(model, number, "UNAVAILABLE", complaint)
    if production and _revision_served(parts, model) < route.revision:
        return IndexEntry(model, number, "LOADING", "this server is loading it")
    return IndexEntry(model, number, "READY")


def _revision_served(parts: Parts, model: str) -> int:
    try:
        return parts.router.route(model).revision
    except NotFound:
        return -1

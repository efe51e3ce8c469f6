"""The parts a serving process is made of, built in one place and handed down."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from server.fleet import Fleet
from server.metrics import ServerMetrics
from server.recording import Recorder
from server.routing import Router
from server.security import KeyRing
from store.artifacts import ArtifactStore
from store.clock import Clock
from store.database import Database
from store.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    settings: Settings
    database: Database
    artifacts: ArtifactStore
    metrics: ServerMetrics
    recorder: Recorder
    fleet: Fleet
    router: Router
    keys: KeyRing
    tokenizing: ThreadPoolExecutor
    """Where long raw input becomes rows, off the event loop."""
    clock: Clock


def parts_of(request: Request) -> Parts:
    """The one typed way to the parts from a route."""
    return cast(Parts, request.app.state.parts)

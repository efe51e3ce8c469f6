"""Which version answers for each model here.

The deployments in the store are the truth. The router looks at their revision numbers a few times a second, makes
what a new revision needs resident beside what is running, and only then swaps the route: requests before the swap
finish on the old version, requests after it start on the new one, none waits.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from engine.bank import AdapterBank, AdapterKey
from engine.precision import Precision
from server.fleet import BaseRuntime, Fleet
from server.metrics import ServerMetrics, VersionMetrics
from store.database import Database
from store.errors import Broken, DriftgateError, NotFound, StoreUnavailable, unknown
from store.logs import get_log
from store.settings import Settings
from store.versions import Route, ServedVersion, deployment_changes, routes, served_version

_STAGES = {"none": 0, "shadow": 1, "canary": 2}
_LOOK_AGAIN_S = 5.0
"""A deployment that could not be served is tried again after this long; it may be large, and failing is not cheap."""

_MOST_PASSED_OVER = 3
"""Looks in a row that are saved because the store's file has not changed: a server with nothing to do does nothing."""
_TURNS_OF_WAITERS = 5
"""Turns of the event loop after the end of a task until whoever awaits it, shielded, has run."""

_log = get_log("routing")


class NotReady(Broken):
    kind = "not-ready"
    title = "Not ready"


@dataclass(frozen=True, slots=True)
class Target:
    """A version that can be asked: resolved, checked, on a loaded base."""

    served: ServedVersion
    runtime: BaseRuntime
    precision: Precision
    metrics: VersionMetrics

    @property
    def key(self) -> AdapterKey:
        return self.served.adapter_artifact

    @property
    def bank(self) -> AdapterBank:
        return self.runtime.engine.bank

    def release(self) -> None:
        """End a lease on the target's slot."""
        self.bank.release(self.key)


class Router:
    """Owns the routes. Used from the event loop; loading happens in threads."""

    def __init__(self, settings: Settings, database: Database, fleet: Fleet, metrics: ServerMetrics) -> None:
        self._settings = settings
        self._database = database
        self._fleet = fleet
        self._metrics = metrics
        self._routes: dict[str, Route] = {}
        self._targets: dict[tuple[str, int], Target] = {}
        self._loading: dict[AdapterKey, asyncio.Task[None]] = {}
        self._holding: set[asyncio.Task[None]] = set()
        self._refreshing = asyncio.Lock()
        self._complaints: dict[str, str] = {}
        self._failed_at: dict[tuple[str, int], float] = {}
        """When the revision of a model could not be served, on the event loop's clock."""
        self._followed: set[str] = set()
        """Models of which a deployment was loaded: they answer, whatever is wrong with a newer one."""
        self._came_later: set[str] = set()
        """Models that were not there when the store was first read."""
        self._store_complaint: str | None = None
        self._seen_changes: tuple[int, int] | None = None
        self._looked = False
        self._draining = False

    @property
    def ready(self) -> bool:
        """Whether the store was read once, every engine runs, and every model that was there then answers.

        A model whose newest deployment cannot be loaded answers with the one before, and one that is new and cannot
        be loaded never answered: that is no reason to take this server, and all its other models, out of service.
        `complaints` tells of it. A server that is about to end is
        not ready, so that balancers send nothing new.
        """
        served = not (self._complaints.keys() - self._followed - self._came_later)
        return self._looked and self._fleet.alive and served and not self._draining

    @property
    def models(self) -> list[str]:
        return sorted(self._routes)

    @property
    def complaints(self) -> dict[str, str]:
        """By model, why its newest deployment is not served; under `store`, why deployments cannot be read."""
        store = {"store": self._store_complaint} if self._store_complaint else {}
        return {**self._complaints, **store}

    def start_draining(self) -> None:
        self._draining = True

    def knows(self, model: str) -> bool:
        return model in self._routes

    def route(self, model: str) -> Route:
        """Raises NotFound with the nearest names."""
        route = self._routes.get(model)
        if route is None:
            raise unknown("model", model, self._routes)
        return route

    def resident(self, model: str, version: int | None) -> Target | None:
        """What `target` would find without looking into the store, if nothing is in its way."""
        route = self._routes.get(model)
        if route is None or route.unloaded or model in self._complaints:
            return None
        number = route.production if version is None else version
        return None if number is None else self._targets.get((model, number))

    async def target(self, model: str, version: int | None) -> Target:
        """The version to ask; the production version where none is named. Raises NotFound, NotReady, Refused."""
        route = self.route(model)
        if route.unloaded:
            raise NotReady(f"model {model!r} is unloaded; load it with POST /v2/repository/models/{model}/load")
        number = route.production if version is None else version
        if version is None and model in self._complaints and (number is None or model not in self._followed):
            raise NotReady(f"the production version of {model!r} is not loaded: {self._complaints[model]}")
        if number is None:
            raise NotFound(f"model {model!r} has no production version yet; promote one, or name a version")
        known = self._targets.get((model, number))
        if known is not None:
            return known
        found = await asyncio.to_thread(self._resolve, model, number)
        if self._routes.get(model) is route:  # else what was found may not be so any more
            self._targets[model, number] = found
        return found

    async def load(self, target: Target) -> int:
        """The slot of the target's adapter, leased, after making it resident. Raises NoFreeSlot.

        Whoever else needs the same adapter meanwhile waits for the same load; nobody else waits.
        """
        target.runtime.missed()
        while (slot := target.bank.lease(target.key)) is None:
            task = self._loading.get(target.key)
            if task is None:
                task = self._loading[target.key] = asyncio.create_task(self._load(target))
            await asyncio.shield(task)
        return slot

    async def _load(self, target: Target) -> None:
        """Load an adapter and hold it until those who wait for it had their turn: others may push it out at once."""
        try:
            await asyncio.to_thread(self._fleet.load, target.runtime, target.key, hold=True)
        finally:
            del self._loading[target.key]
        task = asyncio.create_task(_release_soon(target))
        self._holding.add(task)  # or it might be collected before it ran
        task.add_done_callback(self._holding.discard)

    async def run(self) -> None:
        """Follow the store until cancelled."""
        seen, passed_over = None, 0
        while True:
            await asyncio.sleep(self._settings.deployment_poll_s)
            state = self._database.file_state()
            if state is not None and state == seen and passed_over < _MOST_PASSED_OVER and not self._complaints:
                passed_over += 1
                continue
            seen, passed_over = state, 0
            await self.refresh()

    async def refresh(self) -> None:
        """Look at the deployments once, and serve what they say."""
        async with self._refreshing:
            try:
                found = await asyncio.to_thread(self._read_routes)
            except StoreUnavailable as error:
                if self._store_complaint is None:
                    _log.error("deployments_unreadable", detail=str(error))
                self._store_complaint = str(error)
                return
            self._store_complaint = None
            if found is None:
                return
            changes, current = found
            changed = False
            for route in current:
                if self._is_due(route):
                    await self._follow(route)
                    changed = True
            if changed:
                self._pin(self._routes.values())
            self._looked = True
            self._seen_changes = changes  # only now: whoever is cancelled before leaves the rest to the next look

    def try_again(self, model: str) -> None:
        """Do not wait before the next look at this model: somebody says that it is mended."""
        self._failed_at = {key: at for key, at in self._failed_at.items() if key[0] != model}

    def _is_due(self, route: Route) -> bool:
        failed_at = self._failed_at.get((route.model, route.revision))
        if failed_at is not None and asyncio.get_running_loop().time() - failed_at < _LOOK_AGAIN_S:
            return False
        known = self._routes.get(route.model)
        return known is None or known.revision != route.revision or route.model in self._complaints

    async def _follow(self, route: Route) -> None:
        wanted = [n for n in (route.production, route.candidate, route.previous) if n is not None]
        if route.unloaded:
            wanted = []
        try:
            targets = [await asyncio.to_thread(self._resolve, route.model, number) for number in wanted]
            for target in targets:
                # On the first look there may be more models than slots; those that find none free load when asked.
                if target.served.version != route.previous and (self._looked or target.bank.stats().free):
                    await asyncio.to_thread(self._fleet.load, target.runtime, target.key)
        except Exception as error:  # one model's trouble, a full disk's or the runtime's too, must not end the others
            complaint = str(error) if isinstance(error, DriftgateError) else f"{type(error).__name__}: {error}"
            if self._complaints.get(route.model) != complaint:
                trace = None if isinstance(error, DriftgateError) else error
                _log.error(
                    "deployment_not_served",
                    model=route.model,
                    revision=route.revision,
                    detail=complaint,
                    exc_info=trace,
                )
            self._complaints[route.model] = complaint
            if self._looked and route.model not in self._routes:
                self._came_later.add(route.model)
            self.try_again(route.model)  # forgets earlier revisions
            self._failed_at[route.model, route.revision] = asyncio.get_running_loop().time()
            known = self._routes.get(route.model)
            if known is None or known.unloaded:
                self._routes[route.model] = route
            return
        self._complaints.pop(route.model, None)
        self._followed.add(route.model)
        self._routes[route.model] = route
        gone = [
            self._targets.pop(key)  # it may have been archived; whoever asks for it makes us look
            for key in [key for key in self._targets if key[0] == route.model and key[1] not in wanted]
        ]
        self._targets |= {(route.model, target.served.version): target for target in targets}
        if route.unloaded:
            self._pin(self._routes.values())
            for target in gone:
                target.bank.evict(target.key)
        self._metrics.rollout_stage.labels(model=route.model).set(_STAGES.get(route.stage, 0))
        self._metrics.rollout_traffic_ratio.labels(model=route.model).set(route.traffic_share)
        _log.info(
            "deployment_served",
            model=route.model,
            revision=route.revision,
            production=route.production,
            precisions=sorted({target.precision for target in targets}),
        )

    def _pin(self, current: Iterable[Route]) -> None:
        """Production, candidate and the way back are never evicted."""
        wanted = {
            (route.model, number)
            for route in current
            if not route.unloaded
            for number in (route.production, route.candidate, route.previous)
            if number is not None
        }
        pinned = [target for key, target in self._targets.items() if key in wanted]
        self._fleet.pin([(target.runtime, target.key) for target in pinned])

    def _read_routes(self) -> tuple[tuple[int, int], list[Route]] | None:
        """All deployments, and how many changes led to them; None if none changed since they were followed, and none
        waits to be tried again."""
        with self._database.read() as session:
            changes = deployment_changes(session)
            if changes == self._seen_changes and not self._complaints:
                return None
            return changes, routes(session)

    def _resolve(self, model: str, number: int) -> Target:
        """Looks into the store, always: what was known of a version may have changed with the deployment."""
        with self._database.read() as session:
            served = served_version(session, model, number)
        runtime, precision = self._fleet.open(served)
        metrics = VersionMetrics(self._metrics, served.model, served.version, served.labels)
        return Target(served, runtime, precision, metrics)


async def _release_soon(target: Target) -> None:
    for _ in range(_TURNS_OF_WAITERS):
        await asyncio.sleep(0)
    target.release()

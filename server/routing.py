"""Which version answers for each model here, and what must be resident for it.

The deployments in the store are the truth. The router looks at their revision numbers a few times a second, loads
what a new revision needs beside what is running, and only then swaps the route: requests before the swap finish on
the old version, requests after it start on the new one, none waits.
"""

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from engine.adapter import read_adapter
from engine.bank import AdapterKey
from engine.engine import Engine, usable_cores
from server.batching import Batcher
from server.metrics import ServerMetrics
from store.artifacts import ArtifactStore
from store.database import Database
from store.errors import Broken, DriftgateError, NotFound, StoreUnavailable, unknown
from store.logs import get_log
from store.settings import Settings
from store.versions import Route, ServedVersion, routes, served_version

_STAGES = {"none": 0, "shadow": 1, "canary": 2}

_log = get_log("routing")


class NotReady(Broken):
    kind = "not-ready"
    title = "Not ready"


@dataclass(frozen=True, slots=True)
class BaseRuntime:
    """A base that is loaded here."""

    engine: Engine
    batcher: Batcher


@dataclass(frozen=True, slots=True)
class Target:
    """A version that can be asked: resolved, checked, on a loaded base."""

    served: ServedVersion
    runtime: BaseRuntime

    @property
    def key(self) -> AdapterKey:
        return self.served.adapter_artifact


class Router:
    """Owns the routes and the loaded bases. Used from the event loop; loading happens in threads."""

    def __init__(
        self, settings: Settings, database: Database, artifacts: ArtifactStore, metrics: ServerMetrics
    ) -> None:
        self._settings = settings
        self._database = database
        self._artifacts = artifacts
        self._metrics = metrics
        self._routes: dict[str, Route] = {}
        self._targets: dict[tuple[str, int], Target] = {}
        self._runtimes: dict[str, BaseRuntime] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._refreshing = asyncio.Lock()
        self._complaints: dict[str, str] = {}
        self._followed: set[str] = set()
        """Models of which a deployment was loaded: they answer, whatever is wrong with a newer one."""
        self._store_complaint: str | None = None
        self._looked = False
        self._opening = threading.Lock()
        """Held while a base is loaded, so that it is loaded once."""

    @property
    def ready(self) -> bool:
        """Whether the store was read once, every engine runs, and every model that has a version answers.

        A model whose newest deployment cannot be loaded answers with the one before: that is no reason to take this
        server, and all its other models, out of service. `complaints` tells of it.
        """
        alive = all(runtime.batcher.alive for runtime in self._runtimes.values())
        return self._looked and alive and not (self._complaints.keys() - self._followed)

    @property
    def models(self) -> list[str]:
        return sorted(self._routes)

    @property
    def complaints(self) -> dict[str, str]:
        """By model, why its newest deployment is not served; under `store`, why deployments cannot be read."""
        store = {"store": self._store_complaint} if self._store_complaint else {}
        return {**self._complaints, **store}

    def knows(self, model: str) -> bool:
        return model in self._routes

    def route(self, model: str) -> Route:
        """Raises NotFound with the nearest names."""
        route = self._routes.get(model)
        if route is None:
            raise unknown("model", model, self._routes)
        return route

    async def target(self, model: str, version: int | None) -> Target:
        """The version to ask; the production version where none is named. Raises NotFound, NotReady, Refused."""
        route = self.route(model)
        number = route.production if version is None else version
        if version is None and model in self._complaints and (number is None or model not in self._followed):
            raise NotReady(f"the production version of {model!r} is not loaded: {self._complaints[model]}")
        if number is None:
            raise NotFound(f"model {model!r} has no production version yet; promote one, or name a version")
        known = self._targets.get((model, number))
        if known is not None:
            return known
        return await asyncio.to_thread(self._resolve, model, number)

    async def lease(self, target: Target) -> int:
        """The slot of the target's adapter, loading it first if it is not resident. Raises NoFreeSlot."""
        bank = target.runtime.engine.bank
        while (slot := bank.lease(target.key)) is None:
            task = self._loading.get(target.key)
            if task is None:
                task = asyncio.create_task(asyncio.to_thread(self._load, target))
                self._loading[target.key] = task
                task.add_done_callback(lambda _: self._loading.pop(target.key, None))
            await asyncio.shield(task)
        return slot

    async def run(self) -> None:
        """Follow the store until cancelled."""
        while True:
            await asyncio.sleep(self._settings.deployment_poll_s)
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
            for route in found:
                known = self._routes.get(route.model)
                if known is None or known.revision != route.revision or route.model in self._complaints:
                    await self._follow(route)
            self._looked = True

    def close(self) -> None:
        for runtime in self._runtimes.values():
            runtime.batcher.close()

    async def _follow(self, route: Route) -> None:
        wanted = [n for n in (route.production, route.candidate, route.previous) if n is not None]
        try:
            for number in wanted:
                target = await asyncio.to_thread(self._resolve, route.model, number)
                if number != route.previous:
                    await asyncio.to_thread(self._load, target)
        except DriftgateError as error:
            if self._complaints.get(route.model) != str(error):
                _log.error("deployment_not_served", model=route.model, revision=route.revision, detail=str(error))
            self._complaints[route.model] = str(error)
            self._routes.setdefault(route.model, route)
            return
        self._complaints.pop(route.model, None)
        self._followed.add(route.model)
        self._routes[route.model] = route
        for key in [k for k in self._targets if k[0] == route.model and k[1] not in wanted]:
            del self._targets[key]  # it may have been archived; whoever asks for it makes us look
        self._pin(self._routes.values())
        self._metrics.rollout_stage.labels(model=route.model).set(_STAGES.get(route.stage, 0))
        self._metrics.rollout_traffic_ratio.labels(model=route.model).set(route.traffic_share)
        _log.info("deployment_served", model=route.model, revision=route.revision, production=route.production)

    def _pin(self, current: Iterable[Route]) -> None:
        """Production, candidate and the way back are never evicted."""
        wanted = {
            (route.model, number)
            for route in current
            for number in (route.production, route.candidate, route.previous)
            if number is not None
        }
        for runtime in self._runtimes.values():
            keys = {t.key for k, t in self._targets.items() if k in wanted and t.runtime is runtime}
            runtime.engine.bank.pin(keys)
            self._count_slots(runtime)

    def _read_routes(self) -> list[Route]:
        with self._database.read() as session:
            return routes(session)

    def _resolve(self, model: str, number: int) -> Target:
        known = self._targets.get((model, number))
        if known is None:
            with self._database.read() as session:
                served = served_version(session, model, number)
            with self._opening:
                runtime = self._runtime(served)
            known = Target(served, runtime)
            self._targets[(model, number)] = known
        return known

    def _runtime(self, served: ServedVersion) -> BaseRuntime:
        runtime = self._runtimes.get(served.base)
        if runtime is None:
            engine = Engine(
                self._artifacts.fetch(served.base_artifact),
                slots=self._settings.slots,
                provider=self._settings.provider,
            )
            batcher = Batcher(
                engine,
                budget_tokens=self._settings.budget_tokens * usable_cores(),
                queue_tokens=self._settings.queue_tokens,
                metrics=self._metrics,
            )
            runtime = self._runtimes[served.base] = BaseRuntime(engine, batcher)
            _log.info("base_loaded", base=served.base, provider=engine.provider, threads=engine.threads)
        return runtime

    def _load(self, target: Target) -> None:
        """Make the target's adapter resident: fetch, verify, check, copy into a slot."""
        started = time.perf_counter()
        engine = target.runtime.engine
        folder = self._artifacts.fetch(target.key)
        engine.bank.load(target.key, read_adapter(folder, engine.spec, assume_base=True))
        self._metrics.adapter_load_seconds.observe(time.perf_counter() - started)
        self._count_slots(target.runtime)

    def _count_slots(self, runtime: BaseRuntime) -> None:
        stats = runtime.engine.bank.stats()
        self._metrics.adapter_slots.labels(state="free").set(stats.free)
        self._metrics.adapter_slots.labels(state="resident").set(stats.resident)
        self._metrics.adapter_slots.labels(state="pinned").set(stats.pinned)

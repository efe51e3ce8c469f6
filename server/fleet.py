"""The bases that are loaded here, with their engines and batchers, and the adapters that are resident on them."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import Counter

from engine.adapter import read_adapter
from engine.bank import AdapterKey
from engine.engine import Engine
from engine.precision import Precision, checks_from_json, choose_precision
from engine.speed import offered_precisions
from server.batching import Batcher, Callers
from server.metrics import ServerMetrics
from server.thrashing import ThrashWatch
from store.artifacts import ArtifactStore
from store.logs import get_log
from store.settings import Settings
from store.versions import ServedVersion

_log = get_log("fleet")


@dataclass(frozen=True, slots=True)
class BaseRuntime:
    """A base that is loaded here."""

    name: str
    engine: Engine
    batcher: Batcher
    hits: Counter
    """Requests whose adapter was resident."""
    misses: Counter
    watch: ThrashWatch

    def missed(self) -> None:
        """Count a request whose adapter is not resident."""
        self.misses.inc()

    def loads(self) -> None:
        """Count a load, and warn when too many push others out."""
        if self.engine.bank.stats().free == 0 and self.watch.evicted(time.monotonic()):
            _log.warning(
                "adapters_thrash",
                base=self.name,
                slots=self.engine.bank.slots,
                detail="more adapters were loaded within a minute than there are slots; "
                "raise DRIFTGATE_SLOTS and DRIFTGATE_SLOT_MEMORY_BYTES",
            )


class Fleet:
    """Owns the loaded bases. Opening and loading may happen in any thread; a lock lets one base be opened once."""

    def __init__(self, settings: Settings, artifacts: ArtifactStore, metrics: ServerMetrics, *, lanes: int) -> None:
        """lanes: of each engine; one a core that this process may use."""
        self._settings = settings
        self._artifacts = artifacts
        self._metrics = metrics
        self._lanes = lanes
        self._runtimes: dict[str, BaseRuntime] = {}
        self._opening = threading.Lock()
        self._callers = Callers()

    @property
    def alive(self) -> bool:
        return all(runtime.batcher.alive for runtime in self._runtimes.values())

    def open(self, served: ServedVersion) -> tuple[BaseRuntime, Precision]:
        """The base of a version, loaded, and the precision that may serve the version on it."""
        with self._opening:
            runtime = self._runtimes.get(served.base) or self._open_base(served)
            engine = runtime.engine
            offered = offered_precisions(engine)
            speeds = {name: served.base_speeds[name] for name in offered if name in served.base_speeds}
            asked = self._settings.precision
            if asked in offered:
                speeds.setdefault(asked, 0.0)  # never measured, and wanted all the same
            choice = choose_precision(
                asked,
                speeds=speeds,
                checks=checks_from_json(served.precision_checks),
                max_loss=self._settings.precision_max_loss,
            )
            if choice.precision not in engine.precisions:
                engine.open(choice.precision)
                _log_costs(runtime, choice.precision)
        _log.info(
            "precision_chosen", model=served.model, version=served.version, precision=choice.precision, why=choice.why
        )
        return runtime, choice.precision

    def load(self, runtime: BaseRuntime, key: AdapterKey, *, hold: bool = False) -> None:
        """Make an adapter resident: fetch, verify, check, copy into a slot.

        hold: lease it as well; the caller releases it. Raises AdapterRefused, NoFreeSlot, ArtifactCorrupt,
        StoreUnavailable.
        """
        if not hold and runtime.engine.bank.holds(key):
            return
        runtime.loads()
        began = time.perf_counter()
        folder = self._artifacts.fetch(key)
        runtime.engine.bank.load(key, read_adapter(folder, runtime.engine.spec, assume_base=True), hold=hold)
        self._metrics.adapter_load_seconds.observe(time.perf_counter() - began)
        self._count_slots(runtime)

    def pin(self, wanted: Iterable[tuple[BaseRuntime, AdapterKey]]) -> None:
        """Exactly these adapters are never evicted, as long as they leave room for others on their base.

        Where more are deployed than that, none is pinned there: which are resident is then a matter of use.
        """
        pinned = list(wanted)
        for runtime in list(self._runtimes.values()):
            keys = {key for owner, key in pinned if owner is runtime}
            bank = runtime.engine.bank
            room = bank.slots - max(1, bank.slots // 8)
            bank.pin(keys if len(keys) <= room else ())
            self._count_slots(runtime)

    def close(self) -> None:
        for runtime in self._runtimes.values():
            runtime.batcher.close()

    def _open_base(self, served: ServedVersion) -> BaseRuntime:
        settings = self._settings
        bundle = self._artifacts.fetch(served.base_artifact)
        engine = Engine(
            bundle,
            slots=settings.slots,
            memory_bytes=settings.slot_memory_bytes,
            lanes=self._lanes,
            provider=settings.provider,
        )
        batcher = Batcher(
            engine,
            budget_tokens=settings.budget_tokens,
            queue_tokens=settings.queue_tokens * engine.lanes,
            metrics=self._metrics,
            base=served.base,
            callers=self._callers,
        )
        lookups = self._metrics.adapter_lookups
        runtime = BaseRuntime(
            served.base,
            engine,
            batcher,
            hits=lookups.labels(base=served.base, result="hit"),
            misses=lookups.labels(base=served.base, result="miss"),
            watch=ThrashWatch(engine.bank.slots),
        )
        self._runtimes[served.base] = runtime
        _log.info(
            "base_loaded",
            base=served.base,
            provider=engine.provider.name,
            lanes=f"{engine.lanes} of 1 thread under load, all cores for a lone request",
            budget_tokens=settings.budget_tokens,
            slots=engine.bank.slots,
            slot_bytes=engine.spec.slot_bytes,
        )
        _log_costs(runtime, "fp32")
        return runtime

    def _count_slots(self, runtime: BaseRuntime) -> None:
        stats = runtime.engine.bank.stats()
        for state in ("free", "resident", "pinned"):
            self._metrics.adapter_slots.labels(base=runtime.name, state=state).set(getattr(stats, state))


def _log_costs(runtime: BaseRuntime, precision: Precision) -> None:
    cost = runtime.engine.run_costs[precision]
    _log.info(
        "precision_opened",
        base=runtime.name,
        precision=precision,
        tokens_per_s_a_lane=round(cost.tokens_per_s),
        run_overhead_tokens=round(cost.overhead_tokens, 1),
        padding_share=round(cost.padding_share, 2),
    )

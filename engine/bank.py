"""The adapter bank: which adapter lies in which slot, and who is reading it.

Only the slots that a batch names are read. So a slot may be written while batches run, as long as no batch
names it: `lease` holds a slot for a row from admission to answer, and `load` takes only slots that nobody holds.
Loads may come from any thread; a lock guards the bookkeeping, never the copying. Memory of a slot is touched when an
adapter first comes to lie in it, and used again from then on: resident memory grows to what was needed at once, and
loading and unloading leaves nothing behind.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.adapter import PackedAdapter
from engine.base import BaseSpec, bank_shapes
from store.errors import Busy

AdapterKey = str
"""Names an adapter's content: the key of its artifact."""


class NoFreeSlot(Busy):
    kind = "no-free-slot"
    title = "No free adapter slot"


@dataclass(frozen=True, slots=True)
class BankStats:
    free: int
    resident: int
    pinned: int


class AdapterBank:
    def __init__(self, spec: BaseSpec, slots: int, *, memory_bytes: int | None = None) -> None:
        """slots: adapters that may be resident at once. memory_bytes: what they may take, spec.slot_bytes each; where
        it does not suffice there are fewer slots, two at least."""
        if memory_bytes is not None:
            slots = max(2, min(slots, memory_bytes // spec.slot_bytes))
        self.slots = slots
        self.arrays: dict[str, NDArray[np.float32]] = {
            name: np.zeros(shape, np.float32) for name, shape in bank_shapes(spec, slots).items()
        }
        """By the graph's inputs; every session shares this memory."""
        self.values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in self.arrays.items()}
        self._views: dict[int, dict[str, onnxruntime.OrtValue]] = {}
        self._lock = threading.Lock()
        self._free = list(range(slots - 1, -1, -1))
        self._resident: OrderedDict[AdapterKey, int] = OrderedDict()
        """Least recently used first."""
        self._leases: Counter[AdapterKey] = Counter()
        self._pinned: frozenset[AdapterKey] = frozenset()

    def lease(self, key: AdapterKey) -> int | None:
        """The slot of `key`, held until `release`; None if the adapter is not resident."""
        with self._lock:
            slot = self._resident.get(key)
            if slot is not None:
                self._resident.move_to_end(key)
                self._leases[key] += 1
            return slot

    def holds(self, key: AdapterKey) -> bool:
        """Whether `key` is resident."""
        with self._lock:
            return key in self._resident

    def release(self, key: AdapterKey) -> None:
        with self._lock:
            self._leases[key] -= 1
            if self._leases[key] <= 0:
                del self._leases[key]

    def view(self, slot: int) -> Mapping[str, onnxruntime.OrtValue]:
        """What lies in `slot`, float32 [1, ...] by graph input, as inputs that share the bank's memory."""
        view = self._views.get(slot)
        if view is None:
            view = {
                name: onnxruntime.OrtValue.ortvalue_from_numpy(array[slot : slot + 1])
                for name, array in self.arrays.items()
            }
            self._views[slot] = view
        return view

    def pin(self, keys: Iterable[AdapterKey]) -> None:
        """Exactly these adapters are never evicted."""
        with self._lock:
            self._pinned = frozenset(keys)

    def load(self, key: AdapterKey, adapter: PackedAdapter, *, hold: bool = False) -> None:
        """Make `key` resident; the least recently used adapter that nobody holds makes room.

        hold: lease it in the same moment; the caller releases it. Raises NoFreeSlot.
        """
        with self._lock:
            if key in self._resident:
                if hold:
                    self._leases[key] += 1
                return
            slot = self._take_slot()
        try:
            for name, values in adapter.arrays.items():
                self.arrays[name][slot] = values
        except (KeyError, ValueError):  # made for another base
            with self._lock:
                self._free.append(slot)
            raise
        with self._lock:
            if key in self._resident:  # loaded by somebody else meanwhile
                self._free.append(slot)
            else:
                self._resident[key] = slot
            if hold:
                self._leases[key] += 1

    def evict(self, key: AdapterKey) -> bool:
        """Give up the slot of `key` if nobody holds or pins it; whether that was done."""
        with self._lock:
            if key not in self._resident or self._leases[key] or key in self._pinned:
                return False
            self._free.append(self._resident.pop(key))
            return True

    def stats(self) -> BankStats:
        with self._lock:
            pinned = sum(key in self._pinned for key in self._resident)
            return BankStats(free=len(self._free), resident=len(self._resident), pinned=pinned)

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        for key in self._resident:
            if self._leases[key] == 0 and key not in self._pinned:
                return self._resident.pop(key)
        raise NoFreeSlot(
            f"all {self.slots} adapter slots are in use or pinned; raise DRIFTGATE_SLOTS and "
            "DRIFTGATE_SLOT_MEMORY_BYTES, or archive versions"
        )

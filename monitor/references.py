"""References, read and verified once: every check of a version compares with the same one."""

from collections import OrderedDict

from store.artifacts import ArtifactStore
from store.reference import Reference, load_reference

KEPT_BYTES = 64 * 2**20


class References:
    """The references compared with lately. Used by one thread at a time, as the checks are.

    An artifact is named by its content, so what was read of it stays true. Bounded by the memory of the arrays; beyond
    that the one that was not asked for longest goes. One that is larger than the bound is kept until the next comes.
    """

    def __init__(self, artifacts: ArtifactStore, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._artifacts = artifacts
        self._kept_bytes = kept_bytes
        self._by_key: OrderedDict[str, Reference] = OrderedDict()

    def get(self, key: str) -> Reference:
        """The reference in artifact `key`. Raises ArtifactCorrupt, StoreUnavailable."""
        if key in self._by_key:
            self._by_key.move_to_end(key)
            return self._by_key[key]
        reference = load_reference(self._artifacts.fetch(key))
        self._by_key[key] = reference
        while len(self._by_key) > 1 and self._held_bytes() > self._kept_bytes:
            self._by_key.popitem(last=False)
        return reference

    def _held_bytes(self) -> int:
        return sum(reference.nbytes for reference in self._by_key.values())

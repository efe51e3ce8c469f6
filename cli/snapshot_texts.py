"""Which texts a version knows: those of the snapshot that it was trained and measured on."""

from cli.parts import Parts
from store.records import Version


def known_groups(parts: Parts, version: Version, *, split: str | None = None) -> set[str]:
    """Groups (`retrain.dataset.group_key`) of the texts in the version's snapshot, or in one split of it.

    Empty for a version that was imported. Raises NotFound, ArtifactCorrupt, StoreUnavailable.
    """
    from retrain.snapshot import load_snapshot

    if version.snapshot is None:
        return set()
    rows = load_snapshot(parts.database, parts.artifacts, version.snapshot)
    return {row.group for row in rows if split in (None, row.split)}

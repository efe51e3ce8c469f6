from pathlib import Path

import numpy as np
import pytest

from monitor.references import References
from store.artifacts import ArtifactStore
from store.errors import ArtifactCorrupt
from store.reference import save_reference
from tests.monitor.traffic import Source, as_reference, draw


@pytest.fixture
def kept(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"), cache=tmp_path / "cache")


def put(kept: ArtifactStore, folder: Path, *, seed: int, rows: int = 100) -> str:
    folder.mkdir()
    save_reference(as_reference(draw(Source(), rows, np.random.default_rng(seed))), folder)
    return kept.put("references", folder)


def test_a_reference_is_read_once(kept: ArtifactStore, tmp_path: Path) -> None:
    key = put(kept, tmp_path / "new", seed=1)
    references = References(kept)
    first = references.get(key)
    (kept.fetch(key) / "reference.json").write_text("damaged since")
    assert references.get(key) is first
    with pytest.raises(ArtifactCorrupt):
        References(kept).get(key)


def test_what_was_not_asked_for_longest_makes_room(kept: ArtifactStore, tmp_path: Path) -> None:
    keys = [put(kept, tmp_path / str(seed), seed=seed) for seed in range(3)]
    one = References(kept).get(keys[0]).nbytes
    references = References(kept, kept_bytes=2 * one)
    first, second = references.get(keys[0]), references.get(keys[1])
    assert references.get(keys[0]) is first
    references.get(keys[2])
    assert references.get(keys[0]) is first
    assert references.get(keys[1]) is not second


def test_one_that_is_larger_than_the_bound_is_compared_with_all_the_same(kept: ArtifactStore, tmp_path: Path) -> None:
    small, large = put(kept, tmp_path / "small", seed=1), put(kept, tmp_path / "large", seed=2, rows=200)
    references = References(kept, kept_bytes=1)
    references.get(small)
    assert references.get(large).rows == 200
    assert references.get(large) is references.get(large)

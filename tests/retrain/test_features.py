"""Frozen features: those of the served graph, computed once."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.adapter import read_adapter
from engine.engine import Engine
from retrain.features import KEPT_LISTS, FeatureCache
from tests.conftest import ImportedBase, MakeAdapter

TEXTS = [
    "where is my parcel",
    "refund",
    "a" * 300,
    "where is my parcel",
    "  the bill is wrong, and has been for weeks ",
]


@pytest.fixture(scope="module")
def engine(tiny: ImportedBase) -> Engine:
    return Engine(tiny.bundle, slots=2, lanes=1)


def test_features_are_the_bases_own_whatever_lies_in_the_bank(
    engine: Engine, tiny: ImportedBase, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    before = engine.embed(TEXTS)
    engine.bank.load("a", read_adapter(make_adapter(tiny), tiny.spec, assume_base=True))
    engine.bank.load("b", read_adapter(make_adapter(tiny, seed=2), tiny.spec, assume_base=True))
    changed = engine.run(engine.modality.encode(TEXTS[:1], truncate=True), [0]).pooled

    assert before.shape == (len(TEXTS), tiny.spec.hidden)
    assert_allclose(engine.embed(TEXTS), before, atol=1e-5)
    assert not np.allclose(changed[0], before[0], atol=1e-3), "the adapters change nothing, so this shows nothing"


def test_equal_texts_have_equal_features_and_progress_reaches_the_end(engine: Engine, tmp_path: Path) -> None:
    shares: list[float] = []
    features = FeatureCache(tmp_path, engine).of(TEXTS, progress=shares.append)
    assert_allclose(features, engine.embed(TEXTS), atol=1e-5)
    assert (features[0] == features[3]).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_list_is_computed_once(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = FeatureCache(tmp_path, engine).of(TEXTS)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(engine, "embed", refuse)
    assert (FeatureCache(tmp_path, engine).of(TEXTS) == first).all()
    with pytest.raises(AssertionError, match="computed again"):
        FeatureCache(tmp_path, engine).of([*TEXTS, "one more"])


def test_half_a_file_is_computed_again(engine: Engine, tmp_path: Path) -> None:
    first = FeatureCache(tmp_path, engine).of(TEXTS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert_allclose(FeatureCache(tmp_path, engine).of(TEXTS), first, atol=1e-6)


def test_what_was_longest_unused_goes_first(engine: Engine, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, engine)
    for number in range(KEPT_LISTS + 3):
        cache.of([f"text {number}"])
    assert len(list(tmp_path.iterdir())) == KEPT_LISTS

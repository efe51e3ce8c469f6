"""What we serve is what PEFT computes."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.adapter import read_adapter
from engine.base import GATHER_FILE
from engine.engine import SPARE, WIDE, Engine
from store.errors import Refused
from tests.adapters import peft_logits
from tests.conftest import ImportedBase, MakeAdapter

WORDS = (Path(__file__).parent / "../../LICENSE").read_text().split()


def mixed_texts(count: int, *, longest: int) -> list[str]:
    """Texts of very different lengths, short ones most often."""
    rng = random.Random(11)
    return [" ".join(rng.choices(WORDS, k=min(longest, 1 + int(rng.lognormvariate(2.5, 1))))) for _ in range(count)]


@pytest.fixture(params=["minilm", "tiny"])
def base(request: pytest.FixtureRequest) -> ImportedBase:
    imported: ImportedBase = request.getfixturevalue(request.param)
    return imported


def test_three_adapters_mixed_in_one_batch_agree_with_peft(base: ImportedBase, make_adapter: MakeAdapter) -> None:
    texts = mixed_texts(200, longest=60 if base.spec.name == "minilm" else 30)
    label_counts, ranks = [2, 7, 16], [4, 8, base.spec.max_rank]
    if base.spec.max_labels >= 150:
        label_counts[2] = 150
    engine = Engine(base.bundle, slots=4)
    expected = {}
    for i, (count, rank) in enumerate(zip(label_counts, ranks, strict=True)):
        labels = tuple(f"label {n}" for n in range(count))
        folder = make_adapter(base, labels=labels, rank=rank, alpha=8 + i, rslora=i == 1, seed=i)
        engine.bank.load(f"a{i}", read_adapter(folder, base.spec))
        expected[i] = peft_logits(folder, base.source, base.spec, count, texts)

    rows = engine.modality.encode(texts, truncate=True)
    largest = 0.0
    for start in range(0, len(texts), 25):
        chunk = rows[start : start + 25]
        which = [(start + i) % 3 for i in range(len(chunk))]
        slots = [engine.bank.lease(f"a{w}") for w in which]
        result = engine.run(chunk, [s for s in slots if s is not None])
        for i, w in enumerate(which):
            got, want = result.logits[i, : label_counts[w]], expected[w][start + i]
            assert got.argmax() == want.argmax(), f"text {start + i} gets another label from adapter {w}"
            largest = max(largest, float(np.abs(got - want).max()))
            alone = engine.run([chunk[i]], [slots[i] or 0])
            np.testing.assert_allclose(alone.logits[0], result.logits[i], atol=1e-4)
    print(f"largest difference to PEFT on {base.spec.name}: {largest:.1e}")
    assert largest <= 1e-4


def test_target_layers_beyond_attention_agree_with_peft(tiny: ImportedBase, make_adapter: MakeAdapter) -> None:
    folder = make_adapter(tiny, labels=("a", "b", "c"), targets=("query", "dense"), rank=3, scale=0.1)
    texts = mixed_texts(20, longest=30)
    engine = Engine(tiny.bundle, slots=2)
    engine.bank.load("a", read_adapter(folder, tiny.spec))
    scored = engine.score(texts, "a", labels=3)
    logits = peft_logits(folder, tiny.source, tiny.spec, 3, texts)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(scored.probabilities, exponents / exponents.sum(axis=1, keepdims=True), atol=1e-4)


def test_every_lane_agrees(tiny: ImportedBase, make_adapter: MakeAdapter) -> None:
    engine = Engine(tiny.bundle, slots=4, lanes=2)
    for i in range(3):
        engine.bank.load(f"a{i}", read_adapter(make_adapter(tiny, seed=i), tiny.spec))
    slots = [slot for i in (2, 0, 0, 1) if (slot := engine.bank.lease(f"a{i}")) is not None]
    rows = engine.modality.encode(mixed_texts(4, longest=20), truncate=True)
    expected = engine.run(rows, slots, lane=0)
    for lane in (1, WIDE, SPARE):
        np.testing.assert_allclose(engine.run(rows, slots, lane=lane).logits, expected.logits, atol=1e-5)


def test_rows_of_one_adapter_get_the_answers_that_they_get_beside_others(
    tiny: ImportedBase, make_adapter: MakeAdapter
) -> None:
    engine = Engine(tiny.bundle, slots=4, precisions=("fp32", "int8"))
    for i in range(2):
        folder = make_adapter(tiny, labels=("a", "b", "c"), rank=4, seed=i)
        engine.bank.load(f"a{i}", read_adapter(folder, tiny.spec))
    one, other = engine.bank.lease("a0"), engine.bank.lease("a1")
    assert one is not None
    assert other is not None
    rows = engine.modality.encode(mixed_texts(12, longest=30), truncate=True)
    together = engine.run(rows, [one] * len(rows))
    mixed = engine.run(rows, [one] * (len(rows) - 1) + [other])
    assert together.logits.shape == mixed.logits.shape
    np.testing.assert_allclose(together.logits[:-1], mixed.logits[:-1], atol=1e-4)
    assert np.abs(together.logits[-1] - mixed.logits[-1]).max() > 1e-2, "the other adapter answers otherwise"
    int8 = engine.run(rows, [one] * len(rows), precision="int8")
    assert int8.logits.shape == together.logits.shape


def test_a_bundle_of_an_earlier_version_is_refused_with_what_to_do(tiny: ImportedBase, tmp_path: Path) -> None:
    old = tmp_path / "bundle"
    shutil.copytree(tiny.bundle, old)
    (old / GATHER_FILE).unlink()
    with pytest.raises(Refused, match="import the base again"):
        Engine(old, slots=2)

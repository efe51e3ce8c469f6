from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.adapters import label_names, write_adapter
from benchmarks.many_adapters import rotated, zipf_draws
from benchmarks.precision import fragile_head, train_head
from engine.adapter import read_adapter


def test_zipf_draws_item_i_in_proportion_to_one_over_i():
    seen = Counter(zipf_draws(1_000, 200_000, seed=1))
    assert max(seen) < 1_000
    for rank in (2, 5, 10):
        assert seen[0] / seen[rank - 1] == pytest.approx(rank, rel=0.1)  # some 2,600 draws of the tenth: 2 % of error


def test_rounds_begin_at_different_questions_and_lose_none():
    assert rotated([1, 2, 3, 4], 1, 2) == [3, 4, 1, 2]
    assert rotated([1, 2, 3, 4], 0, 2) == [1, 2, 3, 4]


def test_a_written_adapter_is_one_that_the_engine_reads(tiny, tmp_path: Path):
    spec = tiny.spec
    labels = label_names("m7", 5)
    write_adapter(tmp_path / "random", spec, labels, seed=7)
    packed = read_adapter(tmp_path / "random", spec)
    assert (packed.labels, packed.rank) == (labels, 8)
    assert all(np.any(packed.arrays[name]) for name in packed.arrays)

    head = (np.ones((5, spec.hidden), np.float32), np.zeros(5, np.float32))
    write_adapter(tmp_path / "head", spec, labels, seed=7, head=head)
    packed = read_adapter(tmp_path / "head", spec)
    assert not np.any(packed.arrays["lora_b_0"]), "its LoRA does nothing"
    assert np.all(packed.arrays["head_weight"][:, :5] == 1)


def test_a_trained_head_separates_what_can_be_separated():
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 4, 400)
    features = np.eye(4, 16, dtype=np.float32)[targets] + 0.1 * rng.standard_normal((400, 16)).astype(np.float32)
    weight, bias = train_head(features, targets, 4)
    assert np.mean((features @ weight.T + bias).argmax(1) == targets) == 1.0


def test_a_fragile_head_answers_by_what_rounding_changes():
    rng = np.random.default_rng(2)
    exact = rng.standard_normal((2_000, 8)).astype(np.float32)
    exact[:, 3] *= 0.01
    rounded = exact + 0.02 * rng.standard_normal(exact.shape).astype(np.float32)
    weight, bias = fragile_head(exact, rounded)
    before, after = ((x @ weight.T + bias).argmax(1) for x in (exact, rounded))
    assert 0.45 < before.mean() < 0.55
    assert np.mean(before != after) > 0.3
    assert abs(weight[1, 3]) > 10 * np.abs(np.delete(weight[1], 3)).max()

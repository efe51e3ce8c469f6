"""Sketches: comparable for good, and true to distances."""

import hashlib

import numpy as np

from engine.sketch import SKETCH_DIM, pack_floats, projection, unpack_floats


def test_the_projection_never_changes() -> None:
    """Stored sketches are compared across releases: another projection would make all of them drift."""
    rounded = np.round(projection(384), 4) + 0.0
    assert rounded.shape == (384, SKETCH_DIM)
    assert hashlib.sha256(rounded.tobytes()).hexdigest()[:16] == "7efb34cf64089c24"


def test_distances_survive_the_projection() -> None:
    points = np.random.default_rng(0).normal(size=(60, 384)).astype(np.float32)
    sketches = points @ projection(384)
    a, b = np.triu_indices(60, k=1)
    ratio = np.linalg.norm(sketches[a] - sketches[b], axis=1) / np.linalg.norm(points[a] - points[b], axis=1)
    assert ratio.min() > 0.6
    assert ratio.max() < 1.4
    assert abs(ratio.mean() - 1) < 0.05


def test_packing_costs_two_bytes_a_number() -> None:
    values = np.array([0.5, -1.25, 3.0], np.float32)
    assert len(pack_floats(values)) == 6
    np.testing.assert_array_equal(unpack_floats(pack_floats(values)), values)

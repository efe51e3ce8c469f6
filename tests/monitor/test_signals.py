from dataclasses import replace
from math import sqrt

import numpy as np
from numpy.testing import assert_allclose

from engine.sketch import SKETCH_DIM
from monitor.signals import EMBEDDING_COORDINATES, columns_per_signal, principal_axes, signal_of, signals_of
from monitor.two_sample import kolmogorov_smirnov
from tests.monitor.traffic import Source, as_reference, as_window, draw


def test_reference_and_window_become_the_same_columns() -> None:
    rng = np.random.default_rng(1)
    signals = signals_of(as_reference(draw(Source(), 60, rng)), as_window(draw(Source(), 30, rng)))
    assert columns_per_signal(signals.columns) == {
        "length": 1,
        "unknown_token_share": 1,
        "confidence": 1,
        "predicted_label": 1,
        "embedding": EMBEDDING_COORDINATES,
    }
    assert signals.columns == tuple(signals.current)
    assert {len(values) for values in signals.reference.values()} == {60}
    assert {len(values) for values in signals.current.values()} == {30}
    assert signal_of("embedding_3") == "embedding"
    assert signal_of("length") == "length"


def test_the_same_rows_give_the_same_columns_whether_they_come_as_reference_or_as_window() -> None:
    rows = draw(Source(), 200, np.random.default_rng(2))
    signals = signals_of(as_reference(rows), as_window(rows))
    for column in signals.columns:
        assert_allclose(signals.reference[column], signals.current[column], err_msg=column)


def test_confidences_crowded_below_one_do_not_differ_by_their_rounding() -> None:
    rng = np.random.default_rng(3)
    rows, other = draw(Source(margin=14.0), 400, rng), draw(Source(margin=14.0), 400, rng)
    signals = signals_of(as_reference(rows), as_window(other))
    naive = kolmogorov_smirnov(rows.probabilities.max(axis=1).astype(np.float64), signals.current["confidence"])
    assert naive.p_value < 1e-6, "otherwise this test shows nothing"
    assert kolmogorov_smirnov(signals.reference["confidence"], signals.current["confidence"]).p_value > 0.01


def test_principal_axes_are_orthonormal_and_ordered_by_variance() -> None:
    rows = np.random.default_rng(4).normal(size=(300, SKETCH_DIM)).astype(np.float32) * np.linspace(3, 0.1, SKETCH_DIM)
    axes = principal_axes(rows.astype(np.float32), 8)
    assert_allclose(axes.T @ axes, np.eye(8), atol=1e-5)
    spread = (rows @ axes).var(axis=0)
    assert (np.diff(spread) <= 1e-6).all(), spread


def test_pooled_axes_keep_the_error_rate_that_axes_of_the_reference_break() -> None:
    """600 coordinates at 5 %: at most 30 + 3 sigma rejections pooled; many times that on the reference's own axes."""
    pooled = own = 0
    windows, level = 75, 0.05
    for seed in range(windows):
        rng = np.random.default_rng(seed)
        reference, window = as_reference(draw(Source(), 300, rng)), as_window(draw(Source(), 100, rng))
        flat = rng.normal(size=(400, SKETCH_DIM)).astype(np.float32)  # no structure: where fitting to noise is worst
        signals = signals_of(replace(reference, sketches=flat[:300]), replace(window, sketches=flat[300:]))
        axes = principal_axes(flat[:300], EMBEDDING_COORDINATES).astype(np.float64)
        for i in range(EMBEDDING_COORDINATES):
            name = f"embedding_{i}"
            pooled += kolmogorov_smirnov(signals.reference[name], signals.current[name]).p_value <= level
            own += kolmogorov_smirnov(flat[:300] @ axes[:, i], flat[300:] @ axes[:, i]).p_value <= level
    tests = windows * EMBEDDING_COORDINATES
    bound = tests * level + 3 * sqrt(tests * level * (1 - level))
    assert pooled <= bound, f"{pooled} of {tests} rejected"
    assert own > 2 * bound, f"only {own} of {tests}: then pooling would not be needed"

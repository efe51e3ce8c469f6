from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from monitor.signals import LABEL, Signals, signals_of
from monitor.telling import changes
from tests.monitor.traffic import LABELS, MAX_TOKENS, Source, as_reference, as_window, draw

NAMES = ("length", "data_quality", "embedding", LABEL, "confidence", "out_of_scope")


def drawn(*, reference: int = 60, window: int = 30, seed: int = 1) -> Signals:
    rng = np.random.default_rng(seed)
    return signals_of(as_reference(draw(Source(), reference, rng)), as_window(draw(Source(), window, rng)))


def test_every_signal_has_features_and_words_for_every_row() -> None:
    signals = drawn()
    assert tuple(signals.by_name) == NAMES
    assert (signals.reference_rows, signals.window_rows, signals.labels) == (60, 30, LABELS)
    for name, signal in signals.by_name.items():
        assert signal.features.shape == (90, len(signal.told)), name
        assert signal.drawn.shape == (90,), name
        assert np.isfinite(signal.features).all(), name


@settings(deadline=None)
@given(seed=st.integers(0, 50))
def test_which_row_came_from_where_makes_no_difference_to_its_features(seed: int) -> None:
    """What permutations stand on: dealt out in another way, every row has the features that it had."""
    rng = np.random.default_rng(seed)
    rows = draw(Source(), 90, rng)
    order = rng.permutation(90)

    def features_of(chosen: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        def part(these: NDArray[np.int64]):
            return replace(rows, **{name: getattr(rows, name)[these] for name in rows.__dataclass_fields__})

        signals = signals_of(as_reference(part(chosen[:60])), as_window(part(chosen[60:])))
        return {name: signal.features for name, signal in signals.by_name.items()}

    before, after = features_of(np.arange(90)), features_of(order)
    for name in NAMES:
        assert_allclose(after[name], before[name][order], atol=1e-5, err_msg=name)


def test_confidences_crowded_below_one_do_not_differ_by_their_rounding() -> None:
    rng = np.random.default_rng(3)
    rows = draw(Source(margin=14.0), 400, rng)
    signals = signals_of(as_reference(rows), as_window(rows))
    exact = rows.probabilities.max(axis=1)
    assert len(np.unique(exact)) > 2 * len(np.unique(signals.by_name["confidence"].drawn)), "else it shows nothing"
    for signal in signals.by_name.values():
        assert_allclose(signal.features[:400], signal.features[400:], atol=1e-6)


def moved(signal: str, **window: NDArray[np.int64]) -> str:
    """The feature of `signal` that differs most where 30 of 100 rows are changed as said."""
    rng = np.random.default_rng(6)
    usual, other = draw(Source(), 200, rng), draw(Source(), 100, rng)
    changed = replace(other, **{name: np.concatenate([v, getattr(other, name)[30:]]) for name, v in window.items()})
    return changes(signals_of(as_reference(usual), as_window(changed)))[signal].told


def test_broken_texts_are_told_by_what_is_wrong_with_them() -> None:
    none, few = np.zeros(30, np.int64), np.full(30, 40)
    assert moved("data_quality", length_tokens=none + MAX_TOKENS, length_chars=none + 600) == "cut off texts"
    assert moved("data_quality", length_tokens=few, length_chars=few) == "texts of the fewest characters a token"
    assert moved("data_quality", length_tokens=few, length_chars=5 * few, unknown_tokens=few // 2).endswith(
        "unknown tokens 5 %"
    )


def test_a_reference_of_an_older_release_is_compared_in_what_it_kept() -> None:
    rows = draw(Source(), 40, np.random.default_rng(7))
    old = replace(as_reference(rows), length_chars=np.full(40, -1), max_tokens=0)
    told = signals_of(old, as_window(rows)).by_name["data_quality"].told
    assert told == ("any unknown token", "share of unknown tokens", "most unknown tokens 5 %")


def test_of_rows_that_the_model_is_as_sure_of_the_one_far_from_its_class_is_stranger() -> None:
    rng = np.random.default_rng(4)
    reference, window = draw(Source(), 200, rng), draw(Source(), 50, rng)
    row = int(window.probabilities.max(axis=1).argsort()[25])

    def stranger_than() -> float:
        strange = signals_of(as_reference(reference), as_window(window)).by_name["out_of_scope"].drawn
        return float(np.mean(strange < strange[200 + row]))

    before = stranger_than()
    window.sketches[row] += 30.0
    assert before < 0.6
    assert stranger_than() > 0.85


def test_a_row_of_two_likely_labels_counts_for_both() -> None:
    rows = draw(Source(), 40, np.random.default_rng(5))
    rows.probabilities[0] = [0.5, 0.0, 0.5, 0.0]
    features = signals_of(as_reference(rows), as_window(rows)).by_name[LABEL].features
    assert_allclose(features[0], [0.5, 0.0, 0.5, 0.0])


@pytest.mark.parametrize("rows", [1, 2])
def test_hardly_any_row_is_no_trouble(rows: int) -> None:
    for signal in drawn(reference=rows, window=1).by_name.values():
        assert np.isfinite(signal.features).all()

import numpy as np
import pytest

from benchmarks.accuracy_estimates import OURS, RAW, SHIFTS, STAYS, _trials
from benchmarks.public_data import Entry, Served
from engine.engine import Scored
from tests.monitor.traffic import LABELS, Source, draw


@pytest.fixture(scope="module")
def held() -> Served:
    """3,000 rows of four labels, and a model that is as often right as it says."""
    rows = draw(Source(), 3_000, np.random.default_rng(6))
    scored = Scored(rows.probabilities, rows.sketches, rows.length_tokens, rows.length_chars, rows.unknown_tokens)
    entries = tuple(Entry(f"text {i}", LABELS[truth]) for i, truth in enumerate(rows.truth))
    return Served(LABELS, entries, scored, rows.truth)


@pytest.mark.parametrize("shift", SHIFTS)
def test_every_row_may_come_into_a_window(held: Served, shift: str) -> None:
    weights = SHIFTS[shift](held, np.arange(3_000), np.random.default_rng(1))
    assert weights.shape == (3_000,)
    assert weights.min() > 0


def test_short_texts_come_more_often_where_texts_are_short(held: Served) -> None:
    rows = np.arange(3_000)
    likely = {shift: SHIFTS[shift](held, rows, np.random.default_rng(1)) for shift in ("short texts", "long texts")}
    mean = {shift: np.average(held.scored.length_tokens, weights=weight) for shift, weight in likely.items()}
    assert mean["short texts"] < held.scored.length_tokens.mean() < mean["long texts"]


def test_the_estimate_of_a_calibrated_model_is_near_what_was_right(held: Served) -> None:
    """500 answers, each right with some nine in ten: their own luck is a mean error of 1.1 points."""
    errors, covered = _trials(held, SHIFTS["nothing"], 40, seed="x")
    assert set(errors) == {OURS, STAYS, RAW}
    assert np.mean(errors[OURS]) < 1.6
    assert sum(covered) >= 33  # of 40 at 95 %, fewer has a chance of 1e-3

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from monitor.window import load_window
from store.errors import Broken
from store.predictions import add_predictions
from tests.monitor.conftest import MakeWorld
from tests.monitor.traffic import LABELS, Source, as_predictions, draw


def test_a_window_holds_the_newest_sampled_rows_of_one_version_oldest_first(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(30)
    world.answer(5, reason="low_score")
    world.answer(10, version=2)
    world.answer(20)
    with world.parts.database.read() as session:
        window = load_window(session, "tickets", 1, LABELS, rows=25, after_seq=0)
    assert (window.rows, window.first_seq, window.last_seq) == (25, 26, 65)
    assert window.probabilities.shape == (25, 4)
    assert window.sketches.shape == (25, 64)


def test_a_window_starts_after_what_an_earlier_check_saw(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(30)
    with world.parts.database.read() as session:
        window = load_window(session, "tickets", 1, LABELS, rows=500, after_seq=20)
        nothing = load_window(session, "tickets", 1, LABELS, rows=500, after_seq=30)
    assert (window.rows, window.first_seq) == (10, 21)
    assert (nothing.rows, nothing.last_seq, nothing.probabilities.shape) == (0, 0, (0, 4))


def test_what_was_recorded_is_what_the_window_holds(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    rows = draw(Source(), 40, np.random.default_rng(3))
    with world.parts.database.write() as session:
        add_predictions(session, as_predictions(rows, "tickets", 1, first_id=0, at=world.clock()))
    with world.parts.database.read() as session:
        window = load_window(session, "tickets", 1, LABELS, rows=500, after_seq=0)
    assert_allclose(window.probabilities, rows.probabilities, atol=5e-4)
    assert_allclose(window.sketches, rows.sketches, rtol=1e-3, atol=1e-6)
    assert_allclose(window.score, rows.probabilities.max(axis=1))
    assert window.predicted.tolist() == rows.predicted.tolist()
    assert window.length_tokens.tolist() == rows.length_tokens.tolist()
    assert window.unknown_tokens.tolist() == rows.unknown_tokens.tolist()


def test_a_row_that_does_not_fit_its_version_is_named(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    good = as_predictions(draw(Source(), 1, np.random.default_rng(3)), "tickets", 1, first_id=0, at=world.clock())
    with world.parts.database.write() as session:
        add_predictions(session, [replace(good[0], label="spam")])
    with world.parts.database.read() as session, pytest.raises(Broken, match=r"'p0' does not fit version 1.*'spam'"):
        load_window(session, "tickets", 1, LABELS, rows=500, after_seq=0)

"""Replay of old rows: a share of every class, counting as much as asked."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.dataset import Row
from retrain.replay import replay
from retrain.teach import balanced

OLD = [Row(f"old {label} {n}", label) for label, count in (("a", 40), ("b", 7), ("c", 1)) for n in range(count)]
NEW = [Row(f"new {n}", "d", origin="flagged", feedback_seq=11 + n) for n in range(5)]


def test_without_new_rows_all_are_trained_on() -> None:
    assert replay(OLD, new_after_seq=None, share=0.1, weight=1, seed=0) == (OLD, [1.0] * len(OLD))
    assert replay(OLD, new_after_seq=10, share=0.1, weight=1, seed=0)[0] == OLD


def test_without_replay_only_the_new_rows_are_left() -> None:
    rows, weights = replay([*OLD, *NEW], new_after_seq=10, share=0.0, weight=1, seed=0)
    assert (rows, weights) == (NEW, [1.0] * len(NEW))


def test_a_share_keeps_every_class() -> None:
    rows, _ = replay([*OLD, *NEW], new_after_seq=10, share=0.25, weight=1, seed=0)
    assert Counter(row.label for row in rows) == {"a": 10, "b": 2, "c": 1, "d": 5}


@given(share=st.floats(0.01, 1), weight=st.floats(0.1, 10), seed=st.integers(0, 9))
def test_what_is_drawn_counts_as_all_old_rows_times_the_weight(share: float, weight: float, seed: int) -> None:
    rows, weights = replay([*NEW, *OLD], new_after_seq=10, share=share, weight=weight, seed=seed)
    of_old = sum(counts for row, counts in zip(rows, weights, strict=True) if row.feedback_seq is None)
    assert of_old == pytest.approx(weight * len(OLD))
    assert [row for row in rows if row.feedback_seq] == NEW


def test_a_larger_share_holds_the_smaller_one() -> None:
    small, large = (set(replay([*OLD, *NEW], new_after_seq=10, share=s, weight=1, seed=3)[0]) for s in (0.2, 0.5))
    assert small < large


def test_classes_are_balanced_by_what_their_rows_count_not_by_how_many_were_drawn() -> None:
    old = [Row(f"old {n}", "a") for n in range(100)]
    new = [Row(f"new {n}", "b", feedback_seq=11 + n) for n in range(50)]
    rows, weights = replay([*old, *new], new_after_seq=10, share=0.1, weight=1, seed=0)
    mass: Counter[str] = Counter()
    for row, weight in zip(rows, balanced(rows, weights), strict=True):
        mass[row.label] += weight
    assert mass["a"] == pytest.approx(mass["b"])

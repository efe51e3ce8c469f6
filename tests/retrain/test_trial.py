from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from retrain.dataset import Row
from retrain.frozen import FrozenScore
from retrain.trial import Tried, choose_rows, compare_bases, two_sided_p_value
from store.errors import BadInput


def tried(base: str, right: list[bool], **facts: object) -> Tried:
    score = FrozenScore(np.array(right))
    known = {"tokens_per_s": 1000.0, "p50_s": 0.01, "parameters": 10, "licence": "mit", "state": "candidate"}
    return Tried(base, score, **{**known, **facts})


some_rows = st.lists(
    st.builds(Row, text=st.integers(0, 60).map("text {}".format), label=st.sampled_from("aaabbc")), min_size=2
)
two_classes = some_rows.filter(
    lambda rows: len({row.label for row in {r.group: r for r in reversed(rows)}.values()}) > 1
)


@given(two_classes, st.integers(2, 80), st.integers(0, 3))
def test_a_subset_has_each_text_once_and_no_more_rows_than_asked(rows: list[Row], most: int, seed: int) -> None:
    chosen = choose_rows(rows, most=most, seed=seed)
    assert len(chosen) == min(most, len({row.group for row in rows}))
    assert len({row.group for row in chosen}) == len(chosen)
    assert chosen == choose_rows(rows, most=most, seed=seed)
    places = [next(i for i, row in enumerate(rows) if row is one) for one in chosen]
    assert places == sorted(places)


@given(st.lists(st.integers(1, 200), min_size=2, max_size=6), st.integers(10, 100))
def test_every_class_keeps_its_share(sizes: list[int], most: int) -> None:
    rows = [Row(f"{label} {i}", f"class {label}") for label, size in enumerate(sizes) for i in range(size)]
    chosen = Counter(row.label for row in choose_rows(rows, most=most, seed=0))
    share = min(1.0, most / len(rows))
    for label, size in enumerate(sizes):
        # a class is cut at the same part of its rows as the others, and rounds: half a row for each class, at most
        slack = 0.5 + size * 0.5 * len(sizes) / len(rows) + 1
        assert abs(chosen[f"class {label}"] - share * size) <= slack


def test_which_rows_depends_on_the_seed() -> None:
    rows = [Row(f"text {i}", "ab"[i % 2]) for i in range(200)]
    assert choose_rows(rows, most=50, seed=0) != choose_rows(rows, most=50, seed=1)


def test_rows_without_text_or_label_are_passed_over_and_the_first_of_two_labels_counts() -> None:
    rows = [Row(" ", "a"), Row("x", ""), Row("Hello", "a"), Row("hello ", "b"), Row("you", "b")]
    assert choose_rows(rows, most=10, seed=0) == [rows[2], rows[4]]


@pytest.mark.parametrize("rows", [[], [Row("x", "a"), Row("y", "a")], [Row("x", "a"), Row("X", "b")]])
def test_one_class_cannot_be_tried(rows: list[Row]) -> None:
    with pytest.raises(BadInput, match="a trial needs two or more"):
        choose_rows(rows, most=10, seed=0)


def test_bases_are_compared_with_the_first_row_by_row() -> None:
    first, better, same = compare_bases(
        [
            tried("one", [True] * 50 + [False] * 50),
            tried("two", [True] * 48 + [False] * 2 + [True] * 30 + [False] * 20, licence="apache-2.0"),
            tried("three", [True] * 50 + [False] * 50),
        ]
    )
    assert (first.difference, first.won, first.lost, first.p_value) == (None, None, None, None)
    assert (better.won, better.lost, better.difference) == (30, 2, pytest.approx(0.28))
    assert better.p_value == pytest.approx(binomtest(30, 32, 0.5).pvalue)
    assert (same.won, same.lost, same.difference, same.p_value) == (0, 0, 0.0, 1.0)
    assert (better.base, better.licence, better.accuracy) == ("two", "apache-2.0", 0.78)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_p_value_is_that_of_the_exact_binomial_test(won: int, lost: int) -> None:
    known = binomtest(won, won + lost, 0.5).pvalue if won + lost else 1.0
    assert two_sided_p_value(won, lost) == pytest.approx(known)


def test_answers_to_other_rows_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="3 answers cannot be paired with 2"):
        compare_bases([tried("one", [True, False]), tried("two", [True, False, True])])

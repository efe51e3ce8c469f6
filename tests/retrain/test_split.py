import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.dataset import Row
from retrain.near_duplicates import find_near_duplicates
from retrain.split import SHARES, SPLITS, keep_splits, split_rows
from retrain.units import find_units, newest_of
from store.errors import BadInput

UNHURRIED = settings(deadline=None)  # a busy machine looks ten times as long for near duplicates

ROOT = Path(__file__).parents[2]


@st.composite
def rows_with_a_past(draw):
    """Rows with copies, disputed labels and flags; some texts have a split from before, each only one."""
    texts = [f"text {n}" for n in range(draw(st.integers(1, 60)))]
    fixed = {text: draw(st.sampled_from([None, None, *SPLITS])) for text in texts}
    rows = []
    for _ in range(draw(st.integers(1, 90))):
        text = draw(st.sampled_from(texts))
        origin = draw(st.sampled_from(["seed", "audit", "flagged"]))
        keeps = draw(st.booleans()) and not (origin == "flagged" and fixed[text] != "train")
        written = draw(st.sampled_from([text, text.upper(), f"  {text}\n"]))
        rows.append(Row(written, draw(st.sampled_from("abc")), origin, fixed[text] if keeps else None))
    return rows


def content(rows):
    return Counter(json.dumps(asdict(row), sort_keys=True) for row in rows)


@UNHURRIED
@given(rows_with_a_past(), st.integers(0, 5))
def test_every_row_is_placed_once_except_flagged_ones_whose_text_measures(rows, seed):
    placed = split_rows(rows, seed=seed)
    assert {row.split for row in placed} <= set(SPLITS)
    went_in, came_out = content(replace(r, split=None) for r in rows), content(replace(r, split=None) for r in placed)
    assert not came_out - went_in
    where = {row.group: row.split for row in placed}
    for row, count in (went_in - came_out).items():
        lost = Row(**json.loads(row))
        assert lost.origin == "flagged", f"{lost} was lost {count} times"
        assert where[lost.group] in ("validation", "test")


@UNHURRIED
@given(rows_with_a_past(), st.integers(0, 5))
def test_no_text_lies_in_two_splits_and_flagged_rows_never_measure(rows, seed):
    placed = split_rows(rows, seed=seed)
    assert max(Counter(group for group, _ in {(row.group, row.split) for row in placed}).values(), default=0) <= 1
    assert {row.split for row in placed if row.origin == "flagged"} <= {"train"}


@UNHURRIED
@given(rows_with_a_past(), st.integers(0, 5))
def test_rows_keep_their_split_and_their_copies_join_them(rows, seed):
    before = {row.group: row.split for row in rows if row.split}
    for row in split_rows(rows, seed=seed):
        assert before.get(row.group, row.split) == row.split


@UNHURRIED
@given(rows_with_a_past(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, seed, rng):
    shuffled = rng.sample(rows, len(rows))
    assert content(split_rows(rows, seed=seed)) == content(split_rows(shuffled, seed=seed))


@UNHURRIED
@given(rows_with_a_past(), st.integers(0, 5))
def test_splitting_again_changes_nothing(rows, seed):
    placed = split_rows(rows, seed=seed)
    assert split_rows(placed, seed=seed + 1) == placed


@settings(UNHURRIED, max_examples=50)
@given(st.lists(st.integers(1, 120), min_size=1, max_size=12), st.integers(0, 1_000))
def test_each_class_gets_its_shares_within_rounding(sizes, seed):
    rows = [Row(f"{label} {n}", str(label)) for label, size in enumerate(sizes) for n in range(size)]
    placed = Counter((row.label, row.split) for row in split_rows(rows, seed=seed))
    for label, size in enumerate(sizes):
        counts = [placed[str(label), split] for split in SPLITS]
        assert sum(counts) == size
        assert counts[0] >= 1, "a class that is not taught"
        if size >= 3:
            assert all(abs(n - share * size) <= 1 for n, share in zip(counts[1:], SHARES[1:], strict=True)), counts
        else:
            assert counts == [size, 0, 0]


def test_many_small_classes_together_still_get_their_share_of_test_rows():
    known = [Row(f"old {label} {n}", f"{label}", split="train") for label in range(150) for n in range(10)]
    new = [Row(f"new {label} {n}", f"{label}", origin="audit") for label in range(150) for n in range(3)]
    drawn = Counter(row.split for row in split_rows([*known, *new], seed=0) if row.origin == "audit")
    assert abs(drawn["test"] - 0.15 * 450) <= 1
    assert abs(drawn["validation"] - 0.15 * 450) <= 1


def test_a_flagged_copy_neither_moves_a_random_row_nor_leaks_it():
    random_rows = [Row(f"t {n}", "ab"[n % 2], origin="audit") for n in range(100)]
    flagged = [replace(row, origin="flagged", label="c") for row in random_rows]
    alone = {row.text: row.split for row in split_rows(random_rows, seed=1)}
    together = split_rows([*random_rows, *flagged], seed=1)
    assert {row.text: row.split for row in together if row.origin == "audit"} == alone
    assert len(together) == 200 - sum(split != "train" for split in alone.values())


def test_texts_that_were_only_flagged_go_to_train():
    rows = [Row(f"t {n}", "ab"[n % 2], origin="flagged") for n in range(50)]
    assert {row.split for row in split_rows(rows, seed=0)} == {"train"}


def test_another_seed_draws_other_test_rows():
    rows = [Row(f"t {n}", "ab"[n % 2]) for n in range(200)]
    tests = [{row.text for row in split_rows(rows, seed=seed) if row.split == "test"} for seed in range(2)]
    assert len(tests[0] & tests[1]) < len(tests[0]) / 2


def test_splits_from_before_that_leak_are_refused():
    with pytest.raises(BadInput, match="row 2 lies in test, but the same text lies in train too"):
        split_rows([Row("a", "x", split="train"), Row("A", "x", split="test")], seed=0)
    with pytest.raises(BadInput, match="row 1 was flagged and lies in test"):
        split_rows([Row("a", "x", origin="flagged", split="test")], seed=0)
    with pytest.raises(BadInput, match="row 1 has split 'dev'"):
        split_rows([Row("a", "x", split="dev")], seed=0)


def test_shares_that_do_not_sum_to_one_are_refused():
    for shares in [(0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)]:
        with pytest.raises(BadInput, match="sum to 1"):
            split_rows([], seed=0, shares=shares)


def test_a_class_that_would_only_measure_is_taught_by_one_row():
    rows = [Row(f"{label} {n}", label) for label in "abcdef" for n in range(3)]
    placed = split_rows(rows, seed=0, shares=(0.1, 0.45, 0.45))
    assert Counter(row.label for row in placed if row.split == "train") == dict.fromkeys("abcdef", 1)


def test_two_processes_with_different_hash_seeds_split_alike():
    code = """
import hashlib
from retrain.dataset import Row
from retrain.split import split_rows
rows = [Row(f"t {n}", "abc"[n % 3]) for n in range(100)]
print(hashlib.sha256(repr(split_rows(rows, seed=3)).encode()).hexdigest())
"""
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    rows = [Row(f"t {n}", "abc"[n % 3]) for n in range(100)]
    assert printed == {hashlib.sha256(repr(split_rows(rows, seed=3)).encode()).hexdigest()}


@st.composite
def rows_of_entities(draw):
    """New rows, some of them nearly the same, of a few entities, some with a time."""
    words = ["parcel", "late", "where", "my", "is", "card", "order", "please"]
    rows = []
    for _ in range(draw(st.integers(1, 30))):
        day = draw(st.none() | st.integers(1, 28))
        rows.append(
            Row(
                " ".join(draw(st.lists(st.sampled_from(words), min_size=1, max_size=5))),
                draw(st.sampled_from("abc")),
                draw(st.sampled_from(["seed", "audit", "flagged"])),
                entity=draw(st.none() | st.sampled_from(["ann", "bob", "cem", "dee"])),
                at=None if day is None else f"2026-01-{day:02}T00:00:00.000000+00:00",
            )
        )
    return rows


@settings(UNHURRIED, max_examples=50)
@given(rows_of_entities(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_near_duplicates_and_entities_are_never_torn_and_order_does_not_matter(rows, seed, rng):
    placed = split_rows(rows, seed=seed)
    near = find_near_duplicates(row.group for row in rows)
    units = find_units(rows, near)
    for name_of in (lambda row: row.entity, lambda row: near.leader(row.group), lambda row: units[row.group]):
        splits = {(name_of(row), row.split) for row in placed if name_of(row) is not None}
        assert max(Counter(name for name, _ in splits).values(), default=0) <= 1
    assert content(split_rows(rng.sample(rows, len(rows)), seed=seed)) == content(placed)


@settings(UNHURRIED, max_examples=50)
@given(rows_of_entities(), st.integers(0, 5))
def test_by_time_nothing_in_train_is_younger_than_what_measures(rows, seed):
    timed = [replace(row, at=row.at or "2026-01-15T00:00:00.000000+00:00", origin="seed") for row in rows]
    placed = split_rows(timed, seed=seed)
    units = find_units(timed, find_near_duplicates(row.group for row in timed))
    newest = newest_of(timed, units)
    ages = {split: [newest[units[row.group]] for row in placed if row.split == split] for split in SPLITS}
    assert ages["train"]
    for earlier, later in (("train", "validation"), ("validation", "test"), ("train", "test")):
        if ages[earlier] and ages[later]:
            assert max(ages[earlier]) < min(ages[later]), "rows of the same time lie on both sides"


def test_a_split_by_time_has_its_shares():
    rows = [
        Row(f"message {n} on {day}", "ab"[n % 2], at=f"2026-03-{day:02}T08:00:00.000000+00:00")
        for day in range(1, 21)
        for n in range(20 * day, 20 * day + 20)
    ]
    days = {split: set() for split in SPLITS}
    for row in split_rows(rows, seed=0):
        days[row.split].add(int(row.at[8:10]))
    assert days == {"train": set(range(1, 15)), "validation": {15, 16, 17}, "test": {18, 19, 20}}


def test_rows_without_a_time_are_drawn_beside_those_that_have_one():
    old = [Row(f"t {n}", "ab"[n % 2], at=f"2026-03-{1 + n // 10:02}T00:00:00.000000+00:00") for n in range(200)]
    drawn = split_rows([*old, *(Row(f"new {n}", "ab"[n % 2], "audit") for n in range(100))], seed=0)
    assert Counter(row.split for row in drawn if row.at is None) == {"train": 70, "validation": 15, "test": 15}


def test_units_that_were_torn_before_stay_where_they_are_and_what_is_new_of_them_teaches():
    before = [
        Row("where is my parcel from last week", "x", split="test"),
        Row("where is my parcel from last wek", "x", split="train"),
    ]
    new = Row("please where is my parcel from last week", "x", "audit")
    flagged = replace(new, origin="flagged")
    placed = split_rows([*before, new, flagged], seed=0)
    assert [row.split for row in placed] == ["test", "train", "train", "train"]


def test_what_is_new_of_a_unit_joins_it_and_a_flag_on_it_is_left_out_where_it_measures():
    before = Row("where is my parcel from last week", "x", split="test")
    near = Row("where is my parcel from last week please", "x", "audit")
    assert [row.split for row in split_rows([before, near], seed=0)] == ["test", "test"]
    assert split_rows([before, replace(near, origin="flagged")], seed=0) == [before]


def test_texts_keep_the_split_that_they_had_and_a_file_that_says_otherwise_is_refused():
    before = [Row("old", "x", split="test"), Row("older", "x", split="train")]
    kept = keep_splits([Row("OLD ", "y"), Row("new", "x"), Row("own", "x", split="validation")], before)
    assert [row.split for row in kept] == ["test", None, "validation"]
    with pytest.raises(BadInput, match="the first: row 2 is in train, there in test"):
        keep_splits([Row("older", "x", split="train"), Row("old", "x", split="train")], before)


def test_large_units_do_not_take_the_place_of_others():
    rows = [Row(f"text {n}", "ab"[n % 2], entity=f"customer {min(n // 4, 40)}") for n in range(300)]
    placed = split_rows(rows, seed=2)
    counts = Counter(row.split for row in placed)
    assert abs(counts["test"] - 45) <= 4
    assert abs(counts["validation"] - 45) <= 4
    assert {row.split for row in placed if row.entity == "customer 40"} == {"train"}


@settings(UNHURRIED, max_examples=50)
@given(st.lists(st.integers(3, 60), min_size=1, max_size=5), st.integers(100, 1_000), st.integers(0, 1_000))
def test_a_class_that_is_one_large_unit_takes_no_rows_from_others(sizes, large, seed):
    rows = [Row(f"{label} {n}", f"{label}") for label, size in enumerate(sizes) for n in range(size)]
    rows += [Row(f"backup {n}", "backup", entity="one machine") for n in range(large)]
    placed = Counter((row.label, row.split) for row in split_rows(rows, seed=seed))
    for label, size in enumerate(sizes):
        for split, share in zip(SPLITS[1:], SHARES[1:], strict=True):
            assert abs(placed[f"{label}", split] - share * size) <= 1, f"{label}: {size} rows, {placed}"

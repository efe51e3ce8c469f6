"""The benchmark of the audit: what it plants is what it says, and what it counts is what was planted."""

import random

import numpy as np
import pytest

from benchmarks.data_audit import CHANGES, leaking_files, near_duplicates_found, with_noise
from retrain.audit import audit_rows
from retrain.dataset import Row

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


@pytest.fixture
def rows() -> list[Row]:
    rng = random.Random(0)
    return [Row(" ".join(rng.sample(WORDS, 7)), f"class {n % 8}") for n in range(400)]


def test_as_many_labels_are_wrong_as_was_said(rows: list[Row]) -> None:
    noisy, wrong = with_noise(rows, share=0.1, seed=3)
    assert {place for place, (a, b) in enumerate(zip(rows, noisy, strict=True)) if a.label != b.label} == wrong
    assert len(wrong) == 40
    assert [row.text for row in noisy] == [row.text for row in rows]


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_changes_the_text(kind: str, rows: list[Row]) -> None:
    rng = random.Random(1)
    changed = [CHANGES[kind](row.text, rng) != row.text for row in rows]
    assert np.mean(changed) > 0.9


def test_planted_copies_are_counted_by_kind(rows: list[Row]) -> None:
    found = near_duplicates_found(rows, copies=20, seed=0)
    assert set(found) == set(CHANGES)
    assert all(seen <= planted <= 20 for seen, planted in found.values())
    assert found["casing"] == (20, 20)


def test_planted_leaks_leak_and_nothing_else_is_wrong_with_them(rows: list[Row]) -> None:
    for kind, leaking in leaking_files(rows, seed=0).items():
        errors = {finding.kind for finding in audit_rows(leaking, own_split=True).errors}
        assert errors == {f"{kind}_leakage"}

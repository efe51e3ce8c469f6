import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.augment import Augmentation, augment_rows, vary
from retrain.dataset import Row
from store.errors import BadInput

ROWS = [
    Row(f"where is order {n}, I paid 3.50 for it?", "ab"[n % 2], "audit", split, 0.1, f"p{n}", n, "ann", None)
    for n, split in enumerate(["train", "validation", "test"] * 20)
]


def test_only_training_rows_are_varied_and_labels_stay():
    found = augment_rows(ROWS, Augmentation(copies=2), seed=0)
    made = found[len(ROWS) :]
    assert found[: len(ROWS)] == ROWS
    assert 20 < len(made) <= 40
    assert {row.split for row in made} == {"train"}
    assert not {row.text for row in made} & {row.text for row in ROWS}
    labels = {row.text.split()[3]: row.label for row in ROWS}
    for row in made:
        number = next(word for word in row.text.replace(",", " ").split() if word.isdigit())
        assert labels[f"{number},"] == row.label
        assert (row.prediction_id, row.entity) == (None, "ann")
        assert row.feedback_seq is not None, "a copy is as new as its source"


def test_it_is_off_by_default():
    assert augment_rows(ROWS, Augmentation(), seed=0) == ROWS


def test_the_seed_alone_decides_and_the_order_of_rows_does_not():
    how = Augmentation(copies=1)
    one = augment_rows(ROWS, how, seed=1)
    assert augment_rows(ROWS, how, seed=1) == one
    assert augment_rows(ROWS, how, seed=2) != one
    assert sorted(map(str, augment_rows(ROWS[::-1], how, seed=1))) == sorted(map(str, one))


shares = st.floats(0, 1)


@given(
    st.text(max_size=60),
    st.builds(Augmentation, st.just(1), shares, shares, shares, shares, shares),
    st.integers(0, 99),
)
def test_a_text_never_comes_out_empty_and_its_numbers_stay(text, how, seed):
    varied = vary(text, how, random.Random(seed))
    assert bool(varied.strip()) == bool(text.strip())
    assert re.findall(r"\d+", varied) == re.findall(r"\d+", text)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"casing_share": 1.0}, {"GIVE ME MY MONEY BACK", "Give me my money back"}),
        ({"punctuation_share": 1.0}, {f"give me my money back{sign}" for sign in (".", "!", "?", "...")}),
        ({"drop_share": 0.2}, {"give my money back", "me my money back", "give me money back"}),
        ({"swap_share": 0.2}, {"me give my money back", "give me my back money"}),
    ],
)
def test_each_kind_of_change_does_what_it_says(how, expected):
    nothing = dict.fromkeys(("typo_share", "drop_share", "swap_share", "casing_share", "punctuation_share"), 0.0)
    rng = random.Random(0)
    found = {vary("give me my money back", Augmentation(1, **nothing | how), rng) for _ in range(200)}
    assert expected <= found


def test_typos_stay_near_the_keys():
    rng = random.Random(0)
    how = Augmentation(1, 0.2, 0, 0, 0, 0)
    found = {vary("parcel", how, rng) for _ in range(500)}
    assert {"psrcel", "paarcel", "parcl", "praael"} & found >= {"psrcel", "paarcel", "parcl"}
    assert all(abs(len(text) - len("parcel")) <= 6 for text in found)


@pytest.mark.parametrize("wrong", [{"copies": -1}, {"copies": 1, "typo_share": 1.5}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(BadInput):
        Augmentation(**wrong)

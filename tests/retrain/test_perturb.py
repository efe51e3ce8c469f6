from random import Random

from hypothesis import given
from hypothesis import strategies as st

from retrain.perturb import NEIGHBOURS, TYPO_RATE, in_lower_case, perturbations, with_typos, without_punctuation

TEXTS = st.text(max_size=30)


def test_keys_touch_each_other_mutually() -> None:
    assert set(NEIGHBOURS["g"]) == set("ftyhbv")
    assert all(key in NEIGHBOURS[other] for key, beside in NEIGHBOURS.items() for other in beside)
    assert len(NEIGHBOURS) == 26


@given(TEXTS, st.integers(0, 9))
def test_a_typo_replaces_a_letter_by_its_neighbour_and_nothing_else(text, seed) -> None:
    written = with_typos(text, Random(seed), rate=0.5)
    assert len(written) == len(text)
    for letter, found in zip(text, written, strict=True):
        assert found == letter or found.lower() in NEIGHBOURS[letter.lower()]
        assert found == letter or found.isupper() == letter.isupper()


def test_letters_are_hit_at_the_stated_rate() -> None:
    """20,000 letters: three standard errors are 0.0046."""
    text = "the quick brown fox jumps over the lazy dog".replace(" ", "") * 600
    hit = sum(a != b for a, b in zip(text, with_typos(text, Random(1)), strict=True)) / len(text)
    assert abs(hit - TYPO_RATE) < 0.005


@given(TEXTS)
def test_every_change_depends_on_seed_and_text_alone_and_no_rate_changes_nothing(text) -> None:
    first, again = perturbations(3), perturbations(3)
    assert [change(text) for change in first.values()] == [change(text) for change in again.values()]
    assert with_typos(text, Random(1), rate=0) == text
    assert in_lower_case(in_lower_case(text)) == in_lower_case(text)
    assert without_punctuation(without_punctuation(text)) == without_punctuation(text)


def test_punctuation_goes_and_words_stay() -> None:
    assert without_punctuation("Where's my card?! (lost-and-found)") == "Wheres my card lost and found"
    assert without_punctuation("多少钱？") == "多少钱"

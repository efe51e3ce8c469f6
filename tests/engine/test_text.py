"""Text: the tokens that the model was trained with, never silently fewer."""

import pytest
from transformers import AutoTokenizer

from engine.text import TextModality
from store.errors import InputTooLong
from tests.conftest import ImportedBase

LONG = "where is my parcel " * 100


@pytest.fixture
def text(tiny: ImportedBase) -> TextModality:
    return TextModality(tiny.bundle, tiny.spec)


def test_tokens_are_those_of_transformers(text: TextModality, tiny: ImportedBase) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny.source)
    samples = ["Where is my parcel?", "Ünïcode — and 中文", "a", "naïve café's", "x" * 50]
    for row, sample in zip(text.encode(samples, truncate=False), samples, strict=True):
        assert row.input_ids.tolist() == tokenizer(sample)["input_ids"]


def test_a_text_above_the_limit_is_refused_by_name(text: TextModality) -> None:
    with pytest.raises(InputTooLong, match=r"input 1 has 402 tokens, the limit is 64") as refused:
        text.encode(["short", LONG], truncate=False)
    assert refused.value.where == "/inputs/1"


def test_truncation_is_that_of_transformers_and_keeps_the_closing_token(text: TextModality, tiny: ImportedBase) -> None:
    (row,) = text.encode([LONG], truncate=True)
    expected = AutoTokenizer.from_pretrained(tiny.source)(LONG, truncation=True, max_length=64)["input_ids"]
    assert row.input_ids.tolist() == expected
    assert row.length_tokens == 64


def test_unknown_tokens_are_counted(text: TextModality) -> None:
    known, unknown = text.encode(["my parcel", "my ☃ parcel ☃"], truncate=False)
    assert known.unknown_tokens == 0
    assert unknown.unknown_tokens == 2

"""Text: the tokens that the model was trained with, never silently fewer."""

from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, PreTokenizer, WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from engine.base import TOKENIZER_FILE
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


@pytest.mark.parametrize("template", ["[CLS] $A [SEP]", "[CLS] $A", "$A [SEP]", "$A"])
@pytest.mark.parametrize("pre_tokenizer", [BertPreTokenizer(), WhitespaceSplit()], ids=["by words", "as a whole"])
def test_truncation_is_the_tokenizers_for_every_template(
    tmp_path: Path, tiny: ImportedBase, template: str, pre_tokenizer: PreTokenizer
) -> None:
    vocabulary = ["[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e"]
    tokenizer = Tokenizer(WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))  # noqa: S106  # a word
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    tokenizer.save(str(tmp_path / TOKENIZER_FILE))
    limit = 4
    (row,) = TextModality(tmp_path, replace(tiny.spec, max_tokens=limit)).encode(["a b c d e"], truncate=True)
    tokenizer.enable_truncation(limit)
    assert row.input_ids.tolist() == tokenizer.encode("a b c d e").ids

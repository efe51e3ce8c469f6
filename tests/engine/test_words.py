"""Words: whatever is remembered, the tokens are the tokenizer's own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import lists, sampled_from, text
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.processors import BertProcessing, TemplateProcessing

from engine.base import TOKENIZER_FILE
from engine.words import LONGEST_TEXT, LONGEST_WORD, Words, word_by_word

SIGNS = (
    " \t\n\r\x0b\x0c\x1c\x85\u00a0\u2009\u3000\x00\x7f\ufffd.,?!'_$[]"
    "\u0301\u0327\u00e5\ufb01\u03a3\u0130\u4e2d\U0001f600"
)
"""White space of all kinds, controls, marks; accents that follow a letter, letters whose lower case is odd."""
PIECES = sampled_from(
    [*SIGNS, "  ", "[SEP]", "[mask]", "[MASK]", "hello", "Hello", "parcels", "unbelievably", "e\u0301"]
)
TEXTS = lists(PIECES | text(max_size=4), max_size=30).map("".join)

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "Hello", "HELLO", "par", "##cel", "##s", "a", "A"]


def word_piece(vocabulary: dict[str, int]) -> WordPiece:
    return WordPiece(vocabulary, unk_token="[UNK]")  # noqa: S106  # a word for what has no word


def bert_like(*, lowercase: bool, added: tuple[str, ...] = ()) -> Tokenizer:
    """A tokenizer of BERT's kind, made by hand."""
    tokenizer = Tokenizer(word_piece({word: i for i, word in enumerate(VOCABULARY)}))
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(["[SEP]", "[MASK]"])
    tokenizer.add_tokens([AddedToken(content, normalized=True) for content in added])
    return tokenizer


@pytest.fixture(scope="module")
def minilm_tokenizer(minilm_source: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(minilm_source / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@pytest.fixture(scope="module")
def minilm_words(minilm_tokenizer: Tokenizer) -> Words:
    return Words(minilm_tokenizer, remembered=200)


@given(sample=TEXTS)
def test_tokens_are_the_tokenizers(minilm_words: Words, minilm_tokenizer: Tokenizer, sample: str) -> None:
    expected = minilm_tokenizer.encode(sample).ids
    for _ in "new", "known":
        assert minilm_words.encode(sample).tolist() == expected


@pytest.mark.parametrize("lowercase", [True, False])
@given(sample=TEXTS)
def test_with_tokens_that_were_added_in_any_case(lowercase: bool, sample: str) -> None:
    tokenizer = bert_like(lowercase=lowercase, added=("Parcel", "o.O"))
    assert word_by_word(tokenizer)
    words = Words(tokenizer)
    for text_ in (sample, f"parcel {sample} PARCELS o.o{sample}o.O"):
        assert words.encode(text_).tolist() == tokenizer.encode(text_).ids


def test_case_is_kept_where_the_tokenizer_keeps_it() -> None:
    words = Words(bert_like(lowercase=False))
    assert words.encode("hello Hello HELLO, A").tolist() == [2, 5, 6, 7, 1, 12, 3]


def test_what_is_known_is_not_asked_again() -> None:
    tokenizer = bert_like(lowercase=True)
    words = Words(tokenizer)
    before = words.encode("hello parcels!").tolist()
    tokenizer.model = word_piece({"[UNK]": 1})  # from now on it knows nothing
    assert words.encode("parcels! hello").tolist() == [2, 8, 9, 10, 1, 5, 3]
    assert before == [2, 5, 8, 9, 10, 1, 3]
    assert words.encode("hello a").tolist() == [2, 5, 1, 3]


def test_the_signs_of_a_known_word_may_change() -> None:
    tokenizer = bert_like(lowercase=True)
    words = Words(tokenizer)
    words.encode("hello ,")
    tokenizer.model = word_piece({"[UNK]": 0})
    assert words.encode("(HELLO,").tolist() == [2, 0, 5, 1, 3]


def test_memory_is_bounded() -> None:
    words = Words(bert_like(lowercase=True), remembered=100)
    for i in range(1000):
        words.encode(f"ticket{i} {i}")
        assert len(words) <= 100


def test_what_is_not_likely_to_come_again_is_not_remembered() -> None:
    words = Words(bert_like(lowercase=True))
    words.encode("a" * LONGEST_WORD)
    words.encode("a" * (LONGEST_WORD + 1))
    assert len(words) == 1
    words.encode("hello " * LONGEST_TEXT)
    assert len(words) == 1


@pytest.mark.parametrize("letters", [LONGEST_TEXT - 1, LONGEST_TEXT, LONGEST_TEXT + 1])
def test_long_texts(minilm_words: Words, minilm_tokenizer: Tokenizer, letters: int) -> None:
    sample = ("Where is my parcel? " * LONGEST_TEXT)[:letters]
    assert minilm_words.encode(sample).tolist() == minilm_tokenizer.encode(sample).ids


def test_threads_may_share_what_is_remembered() -> None:
    tokenizer = bert_like(lowercase=True)
    words = Words(tokenizer, remembered=50)
    samples = [f"hello parcel{i % 7} {i}" for i in range(400)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda sample: words.encode(sample).tolist(), samples))
    assert found == [tokenizer.encode(sample).ids for sample in samples]


def _bytewise(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)


def _unnormalized(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = Lowercase()


def _other_model(tokenizer: Tokenizer) -> None:
    tokenizer.model = WordLevel({"[UNK]": 0, "[CLS]": 2, "[SEP]": 3, "a": 1}, "[UNK]")


def _twice(tokenizer: Tokenizer) -> None:
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A $A", special_tokens=[("[CLS]", 2)])


def _without_unknown(tokenizer: Tokenizer) -> None:
    tokenizer.model = word_piece({"hello": 0, "[CLS]": 2, "[SEP]": 3})


def _with_a_space(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens(["new york"])


def _with_an_accent(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens(["\u00e9tage"])


@pytest.mark.parametrize(
    "change", [_bytewise, _unnormalized, _other_model, _twice, _without_unknown, _with_a_space, _with_an_accent]
)
def test_of_other_tokenizers_nothing_is_assumed(change: Callable[[Tokenizer], None]) -> None:
    tokenizer = bert_like(lowercase=True)
    assert word_by_word(tokenizer)
    change(tokenizer)
    assert not word_by_word(tokenizer)

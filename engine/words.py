"""Words and the tokens they become, remembered: a text is then tokenized by looking its words up.

A tokenizer looks at every letter of a text and makes strings and lists that nobody reads, though it has seen most of
the words before. Where the tokens of a text are those of its words, one after the other, as they are for BERT's, they
can be put together from what is known; for a word that is new the tokenizer is asked, once.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

REMEMBERED_WORDS = 100_000
"""About 20 MB of English, 60 MB at most. When there are more all are forgotten: what is in use comes back at once."""
LONGEST_WORD = 20
"""In letters; a longer one is not likely to come again."""
LONGEST_TEXT = 4000
"""In letters; a longer one is tokenized as a whole, which takes less memory than so many new words."""
_PARTS = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]")
"""Of ASCII: letters and digits stay together, every other sign is a part of its own."""
_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
"""BERT's normalizer drops them; tabs and line ends part words."""
_PLAIN_TOKEN = re.compile(r"[!-~]+")
"""An added token that no space parts, and that the normalizer does not turn into other letters."""
_PROBE = "a"
"""One token; what stands before and after it stands before and after every text."""


class Words:
    """The words of one tokenizer, as they stand between the spaces of a text. May be used by several threads."""

    def __init__(self, tokenizer: Tokenizer, *, remembered: int = REMEMBERED_WORDS) -> None:
        """tokenizer: one that goes `word_by_word`, without padding and truncation."""
        self._tokenizer = tokenizer
        self._remembered = remembered
        probe = tokenizer.encode(_PROBE)
        first = probe.special_tokens_mask.index(0)
        self._opening, self._closing = _as_bytes(probe.ids[:first]), _as_bytes(probe.ids[first + 1 :])
        self.closing_tokens = len(probe.ids) - first - 1
        """Special tokens at the end of every text."""
        self._lowercase = tokenizer.normalizer.lowercase
        starts = {token.content[0] for token in tokenizer.get_added_tokens_decoder().values()}
        signs = "".join(re.escape(sign) for start in sorted(starts) for sign in (start.lower(), start.upper()))
        self._is_not_plain = re.compile(f"[{_CONTROLS}{signs}]").search
        """Finds what its parts alone do not tell: control characters, and where an added token, [MASK], may begin."""
        self._tokens: dict[str, bytes] = {}
        """By word, or part of one, the ids of its tokens as int64. It only grows: whoever has it may read on."""

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._tokens)

    def encode(self, text: str) -> NDArray[np.int64]:
        """[tokens], special tokens included, as the tokenizer gives them."""
        if len(text) > LONGEST_TEXT:
            (encoding,) = self._tokenizer.encode_batch_fast([text])  # `encode` would hold the interpreter's lock
            return np.asarray(encoding.ids, np.int64)
        words = text.split(" ")
        known = self._tokens
        try:
            found = [known[word] for word in words]
        except KeyError:
            found = self._learn(words)
        return np.frombuffer(b"".join((self._opening, *found, self._closing)), np.int64)

    def _learn(self, words: Sequence[str]) -> list[bytes]:
        """The tokens of each word, of which some are new."""
        known = self._tokens
        parts = {word: self._parts(word) for word in words if word not in known}
        learned = self._ask(part for part in chain.from_iterable(parts.values()) if part not in known)
        for word, of_word in parts.items():
            learned[word] = b"".join([learned[part] if part in learned else known[part] for part in of_word])
        found = [learned[word] if word in learned else known[word] for word in words]
        known.update((word, tokens) for word, tokens in learned.items() if len(word) <= LONGEST_WORD)
        if len(known) > self._remembered:
            self._tokens = {}
        return found

    def _parts(self, word: str) -> list[str]:
        """What the tokenizer splits `word` into, where that is plain; else the word."""
        if not word.isascii() or self._is_not_plain(word):
            return [word]
        return _PARTS.findall(word.lower() if self._lowercase else word)

    def _ask(self, words: Iterable[str]) -> dict[str, bytes]:
        distinct = list(dict.fromkeys(words))
        if not distinct:
            return {}
        encodings = self._tokenizer.encode_batch_fast(distinct, add_special_tokens=False)
        return {word: _as_bytes(encoding.ids) for word, encoding in zip(distinct, encodings, strict=True)}


def word_by_word(tokenizer: Tokenizer) -> bool:
    """Whether the tokens of a text are those of what stands between its spaces; False where that is not known.

    It holds for BERT's way: its normalizer goes letter by letter (an accent belongs to the letter before it, which a
    space can be), its pre-tokenizer splits at every space and around every punctuation mark, and WordPiece sees one
    word at a time (Wu et al. 2016, https://arxiv.org/abs/1609.08144).
    """
    return (
        isinstance(tokenizer.normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.model, WordPiece)
        and tokenizer.token_to_id(tokenizer.model.unk_token) is not None
        and all(_PLAIN_TOKEN.fullmatch(token.content) for token in tokenizer.get_added_tokens_decoder().values())
        and tokenizer.encode(_PROBE).special_tokens_mask.count(0) == 1
    )


def _as_bytes(ids: Sequence[int]) -> bytes:
    return np.asarray(ids, np.int64).tobytes()

"""Text: tokenized by the base's own tokenizer.json."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from engine.base import TOKENIZER_FILE, BaseSpec
from engine.modality import EncodedRow
from engine.words import Words, word_by_word
from store.errors import InputTooLong


class TextModality:
    def __init__(self, bundle: Path, spec: BaseSpec) -> None:
        self._tokenizer = Tokenizer.from_file(str(bundle / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._words = Words(self._tokenizer) if word_by_word(self._tokenizer) else None
        self._max_tokens = spec.max_tokens
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown_id = None if unknown is None else self._tokenizer.token_to_id(unknown)

    def count_tokens(self, raw: Sequence[str]) -> list[int]:
        """How long each text is before anything is cut off; the base may take fewer."""
        words = self._words
        if words is not None:
            return [len(words.encode(text)) for text in raw]
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(raw))]

    def encode(self, raw: Sequence[str], *, truncate: bool) -> list[EncodedRow]:
        words = self._words
        if words is not None:
            return [self._row(i, words.encode(text), words.closing_tokens, truncate) for i, text in enumerate(raw)]
        rows = []
        for i, encoding in enumerate(self._tokenizer.encode_batch_fast(list(raw))):  # fast: without offsets
            closing = 1 if len(encoding) > self._max_tokens and encoding.special_tokens_mask[-1] else 0
            rows.append(self._row(i, np.asarray(encoding.ids, np.int64), closing, truncate))
        return rows

    def _row(self, index: int, ids: NDArray[np.int64], closing: int, truncate: bool) -> EncodedRow:
        """closing: how many special tokens at the end stay where the text is cut."""
        if len(ids) > self._max_tokens:
            if not truncate:
                raise InputTooLong(
                    f"input {index} has {len(ids)} tokens, the limit is {self._max_tokens}; shorten it, "
                    'or send "truncate": true to have its end cut off',
                    where=f"/inputs/{index}",
                )
            ids = np.concatenate((ids[: self._max_tokens - closing], ids[len(ids) - closing :]))
        unknown = 0 if self._unknown_id is None else int(np.count_nonzero(ids == self._unknown_id))
        return EncodedRow(input_ids=ids, unknown_tokens=unknown)

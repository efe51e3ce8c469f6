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
        self._keep_end = sum(self._tokenizer.encode("").special_tokens_mask[-1:])
        """The closing special token, if there is one: it stays where a text is cut."""
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown_id = None if unknown is None else self._tokenizer.token_to_id(unknown)

    def encode(self, raw: Sequence[str], *, truncate: bool) -> list[EncodedRow]:
        if self._words is not None:
            ids = [self._words.encode(text) for text in raw]
        else:
            encodings = self._tokenizer.encode_batch_fast(list(raw))  # fast: without offsets, which nobody asks for
            ids = [np.asarray(encoding.ids, np.int64) for encoding in encodings]
        return [self._row(i, ids_of_row, truncate) for i, ids_of_row in enumerate(ids)]

    def _row(self, index: int, ids: NDArray[np.int64], truncate: bool) -> EncodedRow:
        if len(ids) > self._max_tokens:
            if not truncate:
                raise InputTooLong(
                    f"input {index} has {len(ids)} tokens, the limit is {self._max_tokens}; shorten it, "
                    'or send "truncate": true to have its end cut off',
                    where=f"/inputs/{index}",
                )
            ids = np.concatenate((ids[: self._max_tokens - self._keep_end], ids[len(ids) - self._keep_end :]))
        unknown = 0 if self._unknown_id is None else int(np.count_nonzero(ids == self._unknown_id))
        return EncodedRow(input_ids=ids, unknown_tokens=unknown)

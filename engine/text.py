"""Text: tokenized by the base's own tokenizer.json."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from engine.base import TOKENIZER_FILE, BaseSpec
from engine.modality import EncodedRow
from store.errors import InputTooLong


class TextModality:
    def __init__(self, bundle: Path, spec: BaseSpec) -> None:
        self._tokenizer = Tokenizer.from_file(str(bundle / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._max_tokens = spec.max_tokens
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown_id = None if unknown is None else self._tokenizer.token_to_id(unknown)

    def encode(self, raw: Sequence[str], *, truncate: bool) -> list[EncodedRow]:
        encodings = self._tokenizer.encode_batch_fast(list(raw))  # fast: without offsets, which nobody asks for
        return [self._row(i, encoding, truncate) for i, encoding in enumerate(encodings)]

    def _row(self, index: int, encoding: Encoding, truncate: bool) -> EncodedRow:
        ids = encoding.ids
        if len(ids) > self._max_tokens:
            if not truncate:
                raise InputTooLong(
                    f"input {index} has {len(ids)} tokens, the limit is {self._max_tokens}; shorten it, "
                    'or send "truncate": true to have its end cut off',
                    where=f"/inputs/{index}",
                )
            keep_end = 1 if encoding.special_tokens_mask[-1] else 0  # the closing special token
            ids = ids[: self._max_tokens - keep_end] + ids[len(ids) - keep_end :]
        unknown = 0 if self._unknown_id is None else ids.count(self._unknown_id)
        return EncodedRow(input_ids=np.asarray(ids, np.int64), unknown_tokens=unknown)

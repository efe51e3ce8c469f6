"""The seam for what is particular to a kind of input: raw input in, rows for the graph out. One file each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One row, ready for the graph."""

    input_ids: NDArray[np.int64]
    """[tokens]"""
    unknown_tokens: int

    @property
    def length_tokens(self) -> int:
        return len(self.input_ids)


class Modality(Protocol):
    def encode(self, raw: Sequence[str], *, truncate: bool) -> list[EncodedRow]:
        """Rows in the order of `raw`. Raises InputTooLong unless `truncate`, naming the index and the limit."""
        ...

"""The window of a check: the newest randomly sampled predictions of the version in production, as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from engine.sketch import SKETCH_DIM, unpack_floats
from store.errors import Broken
from store.predictions import newest_window
from store.records import Prediction


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Predictions of one version, oldest first."""

    probabilities: NDArray[np.float32]
    """[rows, classes], columns in the order of the version's labels, on the float16 grid."""
    sketches: NDArray[np.float32]
    """[rows, SKETCH_DIM], on the float16 grid."""
    length_tokens: NDArray[np.int64]
    """[rows]"""
    length_chars: NDArray[np.int64]
    """[rows], blanks around the text not counted."""
    unknown_tokens: NDArray[np.int64]
    """[rows]"""
    predicted: NDArray[np.int64]
    """[rows], index of the label that the caller got."""
    score: NDArray[np.float64]
    """[rows], its probability as the caller got it."""
    seq: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()
    at: tuple[datetime, ...] = ()
    tags: tuple[Mapping[str, str], ...] = ()
    """Prediction.seq and .id of each row, when it was answered, and how the caller tagged it; these four are empty for
    rows that come from no store."""

    @property
    def rows(self) -> int:
        return len(self.predicted)

    @property
    def first_seq(self) -> int:
        """Prediction.seq of the first row; 0 in an empty window."""
        return self.seq[0] if self.seq else 0

    @property
    def last_seq(self) -> int:
        """Prediction.seq of the last row; 0 in an empty window."""
        return self.seq[-1] if self.seq else 0

    def part(self, rows: Sequence[int]) -> "Window":
        """Some of the rows, by index."""
        taken = np.asarray(rows, np.int64)
        chosen: dict[str, Any] = {name: getattr(self, name)[taken] for name in _ARRAYS}
        for name in _STORED:
            kept = getattr(self, name)
            chosen[name] = tuple(kept[row] for row in taken) if kept else ()
        return Window(**chosen)


_ARRAYS = ("probabilities", "sketches", "length_tokens", "length_chars", "unknown_tokens", "predicted", "score")
_STORED = ("seq", "ids", "at", "tags")


def load_window(
    session: Session, model: str, version: int, labels: Sequence[str], *, rows: int, after_seq: int
) -> Window:
    """The newest `rows` sampled predictions after `after_seq`, the last one that an earlier check looked at.

    Windows of consecutive checks share no row: otherwise one odd hour would count as two checks that agree.
    """
    return window_from(newest_window(session, model, version, rows=rows, after_seq=after_seq), labels)


def window_from(rows: Sequence[Prediction], labels: Sequence[str]) -> Window:
    """Decode recorded predictions. Raises Broken for a row that does not fit the version's labels."""
    position = {label: index for index, label in enumerate(labels)}
    for row in rows:
        if row.label not in position or len(row.probabilities) != 2 * len(labels) or len(row.sketch) != 2 * SKETCH_DIM:
            raise Broken(
                f"prediction {row.id!r} does not fit version {row.version} of {row.model!r}: label {row.label!r}, "
                f"{len(row.probabilities) // 2} probabilities, sketch of {len(row.sketch) // 2}; "
                f"expected one of {len(labels)} labels and a sketch of {SKETCH_DIM}"
            )
    return Window(
        probabilities=unpack_floats(b"".join(row.probabilities for row in rows)).reshape(-1, len(labels)),
        sketches=unpack_floats(b"".join(row.sketch for row in rows)).reshape(-1, SKETCH_DIM),
        length_tokens=np.array([row.length_tokens for row in rows], dtype=np.int64),
        length_chars=np.array([len(row.input.strip()) for row in rows], dtype=np.int64),
        unknown_tokens=np.array([row.unknown_tokens for row in rows], dtype=np.int64),
        predicted=np.array([position[row.label] for row in rows], dtype=np.int64),
        score=np.array([row.score for row in rows], dtype=np.float64),
        seq=tuple(row.seq for row in rows),
        ids=tuple(row.id for row in rows),
        at=tuple(row.at for row in rows),
        tags=tuple(row.tags for row in rows),
    )

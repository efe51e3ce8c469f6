"""What a check compares: five signals of a reference and of a window, as named columns.

| signal              | columns            | says something about                         |
| ------------------- | ------------------ | -------------------------------------------- |
| length              | 1                  | the input (covariate shift)                  |
| unknown_token_share | 1                  | the input: words the vocabulary lacks        |
| embedding           | embedding_0 .. _7  | the input, as the model understands it       |
| predicted_label     | 1, categorical     | what is asked for (prior shift)              |
| confidence          | 1                  | how sure the model is: top probability       |

**Why a PCA of both samples together.** Principal components fitted on the reference alone fit its noise: with 300
rows of 64 dimensions the reference looks up to twice as wide along them as fresh data from the same source, and
Kolmogorov-Smirnov raises false alarms for it. Components of the *pooled* rows do not know which row came from where,
so under "nothing drifted" the two samples stay exchangeable along them and the p-values hold exactly (the argument of
every permutation test). A shift of the mean is itself a direction of variance, so it lands in the first components.

**Why float16.** Predictions are recorded in half precision. A reference in full precision would differ from them
in nothing but rounding, which a rank test sees at once where confidences crowd below 1. So it is rounded alike.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.window import Window
from store.reference import Reference

EMBEDDING_COORDINATES = 8
"""Enough for the directions that hold most of the variance; each one more costs power in all others."""

LABEL = "predicted_label"

_COORDINATE = re.compile(r"_\d+$")


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """The same columns twice. `predicted_label` holds indices into `labels`, every other column floats."""

    labels: tuple[str, ...]
    reference: Mapping[str, NDArray[Any]]
    current: Mapping[str, NDArray[Any]]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.reference)


def signals_of(reference: Reference, window: Window) -> Signals:
    """Columns of a reference and a window, both with at least one row."""
    pooled = np.concatenate([_halved(reference.sketches), window.sketches])
    # One product for both: of two, BLAS may take different kernels, and equal rows would differ in their last bit.
    coordinates = pooled @ principal_axes(pooled, EMBEDDING_COORDINATES)
    before, after = coordinates[: reference.rows], coordinates[reference.rows :]
    return Signals(
        labels=reference.labels,
        reference=_columns(
            reference.length_tokens,
            reference.unknown_tokens,
            _halved(reference.probabilities).max(axis=1),
            before,
            reference.probabilities.argmax(axis=1),
        ),
        current=_columns(
            window.length_tokens,
            window.unknown_tokens,
            window.probabilities.max(axis=1),
            after,
            window.predicted,
        ),
    )


def signal_of(column: str) -> str:
    """The signal that a column belongs to: `embedding_3` is one of several of `embedding`."""
    return _COORDINATE.sub("", column)


def columns_per_signal(columns: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for column in columns:
        counts[signal_of(column)] = counts.get(signal_of(column), 0) + 1
    return counts


def principal_axes(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """[dims, count]: orthonormal directions of largest variance of `rows` [n, dims], largest first."""
    wide = rows.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(vectors[:, ::-1][:, :count]).astype(np.float32)


def _columns(
    length_tokens: NDArray[np.int64],
    unknown_tokens: NDArray[np.int64],
    confidence: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    predicted: NDArray[np.int64],
) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {
        "length": length_tokens.astype(np.float64),
        "unknown_token_share": unknown_tokens / np.maximum(length_tokens, 1),
        "confidence": confidence.astype(np.float64),
        LABEL: predicted,
    }
    for index in range(coordinates.shape[1]):
        columns[f"embedding_{index}"] = coordinates[:, index].astype(np.float64)
    return columns


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.astype("<f2").astype(np.float32)

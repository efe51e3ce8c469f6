"""The classification task: logits to labels with probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answer:
    label: str
    score: float
    """Probability of `label`, 0 to 1."""
    probabilities: NDArray[np.float32]
    """[classes], in the order of the adapter's labels; sums to 1."""


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Along the last axis, in float64 so that the probabilities sum to 1 within float32's precision."""
    wide = logits.astype(np.float64)
    exponents = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True), np.float32)


def softmax_rows(logits: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
    """Softmax of each row over its own number of classes.

    logits: [rows, max_labels], of which the first classes[i] of row i count. Returns [rows, max(classes)]; what lies
    beyond a row's classes is 0.
    """
    widest = max(classes)
    counted = logits[:, :widest]
    if min(classes) != widest:
        counted = np.where(np.arange(widest) < np.asarray(classes)[:, None], counted, -np.inf)
    with np.errstate(invalid="ignore", over="ignore"):  # a row that overflows becomes NaN, and is refused as such
        return softmax(counted)


def answer_of(probabilities: NDArray[np.float32], labels: Sequence[str]) -> Answer:
    """probabilities: [len(labels)], in the order of `labels`."""
    best = int(probabilities.argmax())
    return Answer(label=labels[best], score=float(probabilities[best]), probabilities=probabilities)

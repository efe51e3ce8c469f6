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


def classify(logits: NDArray[np.float32], labels: Sequence[str]) -> Answer:
    """logits: [max_labels], of which the first len(labels) count."""
    probabilities = softmax(logits[: len(labels)])
    best = int(probabilities.argmax())
    return Answer(label=labels[best], score=float(probabilities[best]), probabilities=probabilities)

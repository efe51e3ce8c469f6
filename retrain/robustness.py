"""Whether a version keeps its answers when the same texts are written differently."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrain.perturb import perturbations
from retrain.scores import wilson_interval

MOST_ROWS = 500
_MOST_TOKENS = 30_000
"""Of all changed texts together: about two seconds of a small base."""


@dataclass(frozen=True, slots=True)
class Changed:
    name: str
    accuracy: float
    low: float
    high: float
    """95 % Wilson interval."""
    changed: float
    """Share of all rows whose answer changed, 0 to 1."""
    touched: int
    """Rows whose text changed at all."""


@dataclass(frozen=True, slots=True)
class Robustness:
    rows: int
    accuracy: float
    """Of the same rows as they are."""
    changes: tuple[Changed, ...]


def choose_rows(length_tokens: NDArray[np.int64], *, changes: int, seed: int) -> NDArray[np.int64]:
    """Places of the rows to change, in order: drawn at random, so many that the limits hold, and one at least."""
    affordable = int(_MOST_TOKENS / (changes * max(float(np.mean(length_tokens)), 1.0)))
    rows = max(1, min(MOST_ROWS, affordable, len(length_tokens)))
    return np.sort(np.random.default_rng(seed).permutation(len(length_tokens))[:rows])


def measure_robustness(
    answer: Callable[[list[str]], Sequence[str]],
    texts: Sequence[str],
    truth: Sequence[str],
    predicted: Sequence[str],
    *,
    seed: int,
) -> Robustness:
    """answer: labels for texts; asked once for each change, with the texts that it touched. predicted: what it said to
    the texts as they are."""
    found = []
    for name, change in perturbations(seed).items():
        written = [change(text) for text in texts]
        touched = [i for i, (text, other) in enumerate(zip(texts, written, strict=True)) if text != other]
        answers = list(predicted)
        for i, label in zip(touched, answer([written[i] for i in touched]) if touched else (), strict=True):
            answers[i] = label
        right = _right(truth, answers)
        low, high = wilson_interval(right, len(texts))
        changed = sum(one != other for one, other in zip(answers, predicted, strict=True))
        found.append(Changed(name, right / len(texts), low, high, changed / len(texts), len(touched)))
    return Robustness(len(texts), _right(truth, predicted) / len(texts), tuple(found))


def _right(truth: Sequence[str], answers: Sequence[str]) -> int:
    return sum(one == other for one, other in zip(truth, answers, strict=True))

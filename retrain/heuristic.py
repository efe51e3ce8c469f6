"""What a person would do without a model: look for a word, or for the most similar text that has a label."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrain.dataset import group_key

_WORD = re.compile(r"\w+")
_CELLS = 20_000_000
"""Similarities that are held at once: 80 MB."""


def by_keyword(texts: Sequence[str], *, train: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The label of the most telling word of each text; the most frequent label where no word was seen in training.

    train, labels: texts to learn from and the label of each. A word speaks for the label that it came with most often,
    the more strongly the larger that label's share of the texts with the word; a word that came once is weak.
    """
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for text, label in zip(train, labels, strict=True):
        for word in _words(text):
            seen[word][label] += 1
    rules = {word: _strongest(counts) for word, counts in seen.items()}
    otherwise = (0.0, most_frequent(labels))
    return [
        max(
            (rules[word] for word in sorted(_words(text)) if word in rules), key=lambda rule: rule[0], default=otherwise
        )[1]
        for text in texts
    ]


def by_neighbour(features: NDArray[np.float32], *, train: NDArray[np.float32], labels: Sequence[str]) -> list[str]:
    """The label of the most similar training text, by the cosine of the base's frozen features.

    features: [texts, hidden]. train: [training texts, hidden], with the label of each.
    """
    known, asked = _unit(train), _unit(features)
    at_once = max(1, _CELLS // len(known))
    nearest = [
        int(i) for start in range(0, len(asked), at_once) for i in (asked[start : start + at_once] @ known.T).argmax(1)
    ]
    return [labels[i] for i in nearest]


def most_frequent(labels: Sequence[str]) -> str:
    """The first in the alphabet of those that are."""
    counted = Counter(labels)
    return min(counted, key=lambda label: (-counted[label], label))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(group_key(text)))


def _strongest(counts: Counter[str]) -> tuple[float, str]:
    """Share of the label's texts among those with the word, as if one more had come with another label."""
    label = min(counts, key=lambda label: (-counts[label], label))
    return counts[label] / (counts.total() + 1), label


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), np.float32)

"""Classes of unequal size: how unequal, what their rows shall weigh in the loss, or how often they shall be seen."""

from collections.abc import Mapping, Sequence

import numpy as np

IMBALANCED = 10.0
"""From this ratio on, plain cross-entropy tends to give the rare classes up; focal loss (Lin et al. 2017,
arXiv:1708.02002) is the first thing to try."""


def imbalance_ratio(counts: Mapping[str, int]) -> float:
    """Rows of the most frequent class for each row of the rarest; 1 if there are fewer than two classes."""
    present = [count for count in counts.values() if count > 0]
    return max(present) / min(present) if present else 1.0


def is_imbalanced(counts: Mapping[str, int]) -> bool:
    return imbalance_ratio(counts) >= IMBALANCED


def inverse_frequency_weights(counts: Mapping[str, float], *, cap: float = 10.0) -> dict[str, float]:
    """Weights of classes by one over their rows, the largest at most `cap` times the smallest.

    Rows weigh 1 on average: the learning rate means what it meant. Without a cap one mislabelled row of a rare class
    would count for hundreds. Raises ValueError.
    """
    if cap < 1:
        raise ValueError(f"cap is {cap}; it must be at least 1")
    present = {label: count for label, count in counts.items() if count > 0}
    most = max(present.values(), default=1)
    weights = {label: min(cap, most / count) for label, count in present.items()}
    rows = sum(present.values())
    mean = sum(weight * present[label] for label, weight in weights.items()) / rows if rows else 1.0
    return {label: weight / mean for label, weight in weights.items()}


def oversample(labels: Sequence[str], *, balance: float, seed: int, most: float = 10.0) -> list[int]:
    """Places of the rows to train on: every row once, in their order, then rows of rare classes again, drawn evenly.

    labels: of the rows. balance: 0 repeats nothing, 1 makes all classes as large as the largest; in between a class of
    n rows grows to n^(1 - balance) * largest^balance, at 0.5 as in square-root sampling (Mahajan et al. 2018,
    arXiv:1805.00932). most: times that a class may grow, since copies teach ever less. Raises ValueError.
    """
    if not 0 <= balance <= 1:
        raise ValueError(f"balance is {balance}; it must be from 0 to 1")
    members: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(label, []).append(place)
    largest = max(map(len, members.values()), default=0)
    rng = np.random.default_rng(seed)
    again: list[int] = []
    for label in sorted(members):
        own = rng.permutation(members[label]).tolist()
        wanted = round(len(own) * min(most, (largest / len(own)) ** balance)) - len(own)
        again += [own[number % len(own)] for number in range(wanted)]
    return [*range(len(labels)), *again]

"""Classes of unequal size: how unequal, and what can be done about it without new rows.

Weights change what a row counts for in the loss, resampling how often it is seen; doing both would count twice.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

IMBALANCED = 10.0
"""From this ratio on, plain cross-entropy tends to give the rare classes up; focal loss (Lin et al. 2017,
arXiv:1708.02002) is the first thing to try."""


def imbalance_ratio(counts: Mapping[str, int]) -> float:
    """Rows of the most frequent class for each row of the rarest; 1 if there are fewer than two classes."""
    present = [count for count in counts.values() if count > 0]
    return max(present) / min(present) if present else 1.0


def is_imbalanced(counts: Mapping[str, int]) -> bool:
    return imbalance_ratio(counts) >= IMBALANCED


def effective_number_weights(counts: Mapping[str, int], *, beta: float = 0.999) -> dict[str, float]:
    """Weights of classes by the effective number of their rows, (1 - beta^n) / (1 - beta).

    The n-th row of a class adds less than its first (Cui et al. 2019, arXiv:1901.05555). beta: 0 to below 1; 0 weighs
    all classes alike, near 1 it is the inverse frequency. Rows weigh 1 on average. Classes without rows are not in
    the result. Raises ValueError.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta is {beta}; it must be at least 0 and below 1")
    return _per_row({label: (1 - beta) / (1 - beta**count) for label, count in counts.items() if count > 0}, counts)


def inverse_frequency_weights(counts: Mapping[str, float], *, cap: float = 10.0) -> dict[str, float]:
    """Weights of classes by one over their rows, the largest at most `cap` times the smallest; rows weigh 1 on average.

    Without a cap one mislabelled row of a rare class would count for hundreds. Raises ValueError.
    """
    if cap < 1:
        raise ValueError(f"cap is {cap}; it must be at least 1")
    present = {label: count for label, count in counts.items() if count > 0}
    most = max(present.values(), default=1)
    return _per_row({label: min(cap, most / count) for label, count in present.items()}, counts)


def sampling_probabilities(labels: NDArray[np.int64], *, balance: float = 0.5) -> NDArray[np.float64]:
    """With which probability each row is drawn, [rows], sum 1, when rows are drawn with replacement.

    labels: [rows], class of each. balance: 0 draws rows as they are, 1 draws all classes alike; in between a class of n
    rows gets a share that grows with n^(1 - balance), as in square-root sampling (Mahajan et al. 2018,
    arXiv:1805.00932). Raises ValueError.
    """
    if not 0 <= balance <= 1:
        raise ValueError(f"balance is {balance}; it must be from 0 to 1")
    if not len(labels):
        return np.zeros(0)
    sizes = np.bincount(labels).astype(np.float64)
    weight = sizes[labels] ** -balance
    return np.asarray(weight / weight.sum())


def _per_row(weights: Mapping[str, float], counts: Mapping[str, float]) -> dict[str, float]:
    """Scaled so that rows weigh 1 on average: the learning rate means what it meant."""
    rows = sum(counts[label] for label in weights)
    mean = sum(weight * counts[label] for label, weight in weights.items()) / rows if rows else 1.0
    return {label: weight / mean for label, weight in weights.items()}

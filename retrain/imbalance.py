"""Classes of unequal size: how unequal, and what their rows shall weigh in the loss."""

from collections.abc import Mapping

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

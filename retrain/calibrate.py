"""Temperature scaling: one number that makes confidences mean what they say."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar


def fit_temperature(probabilities: NDArray[np.floating], true_label: NDArray[np.int64]) -> float:
    """The temperature that minimises the negative log-likelihood (Guo et al. 2017, arXiv:1706.04599).

    probabilities: [rows, classes]. true_label: [rows], -1 for a class that the version does not know; such rows are
    left out. Returns 1.0 when fewer than 20 rows remain.
    """
    known = true_label >= 0
    if known.sum() < 20:
        return 1.0
    logits = np.log(np.clip(probabilities[known].astype(np.float64), 1e-12, 1.0))
    right = true_label[known]

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        normaliser = np.log(np.exp(scaled).sum(axis=1))
        return float(np.mean(normaliser - scaled[np.arange(len(right)), right]))

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))

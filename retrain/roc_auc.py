"""How well the probability of a class ranks its rows above all others, whatever the threshold."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def macro_roc_auc(probabilities: NDArray[np.float32], true_label: NDArray[np.int64]) -> float | None:
    """Area under the ROC curve of each class against the rest, averaged over the classes that have rows.

    probabilities: [rows, classes]. true_label: [rows], -1 for a class that has no column. The area is the share of
    pairs in the right order, ties counting half (Mann and Whitney 1947). None where no class can be told from another.
    """
    classes = np.arange(probabilities.shape[1])
    of_class = true_label[:, None] == classes
    positive = of_class.sum(axis=0)
    negative = len(true_label) - positive
    judged = (positive > 0) & (negative > 0)
    if not judged.any():
        return None
    ranks = rankdata(probabilities[:, judged], axis=0)
    above = np.where(of_class[:, judged], ranks, 0.0).sum(axis=0) - positive[judged] * (positive[judged] + 1) / 2
    return float(np.mean(above / (positive[judged] * negative[judged])))

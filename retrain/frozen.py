"""How much of a task a base solves untouched: a linear classifier on its frozen features, cross-validated.

It is the cheapest honest answer to "how near is this base to my data": no weight of the base changes, every row is
answered once, by a classifier that did not see it, and bases that are asked about the same rows with the same seed are
asked in the same folds, so that their answers pair up.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrain.scores import wilson_interval
from store.errors import BadInput

FOLDS = 5
_STRENGTH, _MOST_STEPS = 10.0, 300
"""Of the classifier. 500 rows each of CLINC150, SNIPS, GoEmotions and CISA KEV on MiniLM: C = 1 gives 0.466, 0.932,
0.504 and 0.782; C = 10 gives 0.716, 0.942, 0.470 and 0.752; C = 100 gives 0.752, 0.942, 0.446 and 0.732."""


@dataclass(frozen=True, slots=True, eq=False)
class FrozenScore:
    right: NDArray[np.bool_]
    """[rows], in the order of the rows: answered rightly by the classifier of the folds that it is not in."""

    @property
    def rows(self) -> int:
        return len(self.right)

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.right))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval; it takes the rows for independent, although any two share most of their teachers."""
        return wilson_interval(int(np.sum(self.right)), self.rows)


def frozen_accuracy(features: NDArray[np.float32], labels: Sequence[str], *, seed: int) -> FrozenScore:
    """features: [rows, hidden], of texts that differ: a copy in another fold would be known by heart.

    Logistic regression on standardized features, in FOLDS folds with equal shares of every class. Raises BadInput
    without two classes, or with fewer rows than folds.
    """
    if len(features) != len(labels):
        raise ValueError(f"{len(features)} rows of features, {len(labels)} labels")
    truth = np.array(labels)
    if len(set(labels)) < 2 or len(truth) < FOLDS:
        raise BadInput(
            f"{len(truth)} rows of {len(set(labels))} classes tell nothing about a base; "
            f"bring at least {FOLDS} rows, of two classes or more"
        )
    fold = assign_folds(labels, seed=seed)
    right = np.zeros(len(truth), np.bool_)
    for held_out in range(FOLDS):
        asked = fold == held_out
        if np.any(asked):
            right[asked] = _answers(features[~asked], truth[~asked], features[asked]) == truth[asked]
    return FrozenScore(right)


def assign_folds(labels: Sequence[str], *, seed: int) -> NDArray[np.int64]:
    """[rows], 0 to FOLDS - 1. Each class is dealt out in turn, beginning where the class before it ended: so folds
    differ by one row at most, in each class and in all."""
    rng = np.random.default_rng(seed)
    by_class: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        by_class.setdefault(label, []).append(i)
    dealt = [i for label in sorted(by_class) for i in rng.permutation(by_class[label])]
    fold = np.zeros(len(labels), np.int64)
    fold[dealt] = np.arange(len(dealt)) % FOLDS
    return fold


def _answers(features: NDArray[np.float32], labels: NDArray[np.str_], asked: NDArray[np.float32]) -> NDArray[np.str_]:
    if len(set(labels.tolist())) == 1:
        return np.full(len(asked), labels[0])
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    centre, spread = features.mean(0), features.std(0)
    scale = np.where(spread > 1e-6, spread, 1.0) * np.sqrt(features.shape[1])  # rows of about unit length
    model = LogisticRegression(C=_STRENGTH, max_iter=_MOST_STEPS)
    with warnings.catch_warnings(), threadpool_limits(1):  # products this small only wait for each other's threads
        warnings.simplefilter("ignore", ConvergenceWarning)  # an answer a step early is the same answer
        model.fit((features - centre) / scale, labels)
    return np.asarray(model.predict((asked - centre) / scale))

"""The `head` strategy: a linear classifier on frozen features, solved to its optimum instead of descended towards.

Logistic regression is convex, so its optimum is the same on every run; what is left to choose is how strongly it is
held back, and validation rows choose that.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse strengths of the L2 penalty that are tried, on features of unit variance in the mean."""
_MOST_STEPS = 200


@dataclass(frozen=True, slots=True)
class Head:
    weight: NDArray[np.float32]
    """[classes, hidden]"""
    bias: NDArray[np.float32]
    """[classes]"""
    strength: float
    validation_loss: float
    """Mean negative log-likelihood of the validation rows, nats."""
    validation_accuracy: float

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """[rows, hidden] -> [rows, classes]"""
        return features @ self.weight.T + self.bias


def fit_head(
    features: NDArray[np.float32],
    true: NDArray[np.int64],
    validation_features: NDArray[np.float32],
    validation_true: NDArray[np.int64],
    *,
    classes: int,
    row_weights: NDArray[np.float64] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    on_fit: Callable[[float, float, float], None] = lambda share, loss, accuracy: None,
) -> Head:
    """The head that answers the validation rows best, by their likelihood.

    features: [rows, hidden]; true: [rows], 0 to classes - 1. A class without training rows gets a bias that keeps it
    from being answered. on_fit: called after each strength with the share done, validation loss and accuracy.
    """
    scale = float(np.sqrt(np.mean(np.var(features, axis=0)))) or 1.0
    best: Head | None = None
    for number, strength in enumerate(strengths, start=1):
        with warnings.catch_warnings(), threadpool_limits(1):  # products this small lose by being split
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is one more way to hold it back
            model = LogisticRegression(C=strength, max_iter=_MOST_STEPS, tol=1e-3).fit(
                features / scale, true, sample_weight=row_weights
            )
        weight, bias = _all_classes(model, classes, scale)
        loss, accuracy = _judge(validation_features @ weight.T + bias, validation_true)
        on_fit(number / len(strengths), loss, accuracy)
        if best is None or loss < best.validation_loss:
            best = Head(weight, bias, strength, loss, accuracy)
    assert best is not None  # noqa: S101  # strengths is not empty
    return best


def _all_classes(
    model: LogisticRegression, classes: int, scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights for every class, for features that were not scaled."""
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps only the second one's
        coefficients, intercepts = np.vstack([-coefficients / 2, coefficients / 2]), np.array([-1, 1]) * intercepts / 2
    weight = np.zeros((classes, coefficients.shape[1]), np.float32)
    bias = np.full(classes, float(intercepts.min()) - 20.0, np.float32)
    weight[model.classes_], bias[model.classes_] = coefficients / scale, intercepts
    return weight, bias


def _judge(logits: NDArray[np.float32], true: NDArray[np.int64]) -> tuple[float, float]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -float(np.mean(log_p[np.arange(len(true)), true]))
    return loss, float(np.mean(logits.argmax(axis=1) == true))

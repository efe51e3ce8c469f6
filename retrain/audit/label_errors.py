"""Labels that are likely wrong: confident learning (Northcutt et al. 2021, arXiv:1911.00068) on frozen features.

Every row is judged by a classifier that was fitted without it and without whatever lies in its unit, so that a copy
with the same mistake does not speak for it. The classifier is linear discriminant analysis: linear in the features as
logistic regression is, but in closed form, so that 15,000 rows of 150 classes take seconds (decision 0018). Its
confidences are put right with one temperature; cleanlab then decides how many labels are likely wrong, and which.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrain.audit.finding import Finding, Suspect, make_finding, names_told
from retrain.dataset import Row

FOLDS = 5
MIN_UNITS = 3
"""A class with fewer units is not judged: too often no row of it would be left to learn from."""
_SHRINKAGE = 0.1
_SOFTENING = 10.0
"""What scores are divided by before the temperature is fitted, lest all confidences be 0 or 1."""


def rank_suspects(
    whole: Mapping[int, Row], units: Mapping[str, str], features: NDArray[np.float32]
) -> tuple[list[Suspect], int]:
    """Every row that can be judged, the least trustworthy label first, and how many of them are likely wrong.

    units: of the rows, by text. features: [rows, hidden], of all rows, so that row n is features[n - 1].
    """
    numbers, labels = _judged(whole, units)
    if len(set(labels)) < 2:
        return [], 0
    from cleanlab.filter import find_label_issues  # slow to import, and not there in the lean install
    from cleanlab.rank import get_label_quality_scores

    from retrain.calibrate import fit_temperature

    classes = sorted(set(labels))
    given = np.array([classes.index(label) for label in labels], np.int64)
    folds = _folds(given, [units[whole[n].group] for n in numbers])
    scores = np.full((len(numbers), len(classes)), -np.inf)
    own = features[np.array(numbers) - 1].astype(np.float64)
    for fold in range(FOLDS):
        held = folds == fold
        if held.any() and not held.all():
            scores[held] = discriminant_scores(own[~held], given[~held], own[held], classes=len(classes))
    softened = _softmax(scores / _SOFTENING)
    confidence = _softmax(scores / (_SOFTENING * fit_temperature(softened, given)))
    quality = get_label_quality_scores(given, confidence, method="self_confidence")
    wrong = find_label_issues(given, confidence, filter_by="both", n_jobs=1)
    likely = confidence.argmax(axis=1)
    order = np.lexsort((np.arange(len(numbers)), quality, ~wrong))
    suspects = [Suspect(numbers[i], labels[i], classes[likely[i]], float(quality[i])) for i in order]
    return suspects, int(wrong.sum())


def label_errors(suspects: Sequence[Suspect], wrong: int) -> Iterable[Finding]:
    if wrong:
        told = names_told(
            f"{each.label!r} looks like {each.likely!r} (row {each.row})" for each in suspects[: min(wrong, 3)]
        )
        message = f"{wrong} of {len(suspects)} labels are likely wrong, the clearest: {told}; look at these rows first"
        yield make_finding("label_errors", "warning", message, [each.row for each in suspects[:wrong]])


def discriminant_scores(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    asked: NDArray[np.float64],
    *,
    classes: int,
    shrinkage: float = _SHRINKAGE,
) -> NDArray[np.float64]:
    """Logarithms of the class probabilities of `asked`, [rows, classes], but for a constant of each row.

    Linear discriminant analysis with one covariance for all classes, which is moved towards a multiple of the identity
    by `shrinkage`, 0 to 1. A class that is not in `labels` has -inf.
    """
    counts = np.bincount(labels, minlength=classes)
    means = np.zeros((classes, features.shape[1]))
    np.add.at(means, labels, features)
    means /= np.maximum(counts, 1)[:, None]
    within = features - means[labels]
    covariance = within.T @ within / len(features)
    spread = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    covariance = (1 - shrinkage) * covariance + shrinkage * spread * np.eye(len(covariance))
    weights = np.linalg.solve(covariance, means.T)
    with np.errstate(divide="ignore"):
        bias = np.log(counts / len(features)) - 0.5 * (means * weights.T).sum(axis=1)
    return np.asarray(asked @ weights + bias)


def _judged(whole: Mapping[int, Row], units: Mapping[str, str]) -> tuple[list[int], list[str]]:
    units_of: dict[str, set[str]] = {}
    for row in whole.values():
        units_of.setdefault(row.label, set()).add(units[row.group])
    judged = {n: row.label for n, row in whole.items() if len(units_of[row.label]) >= MIN_UNITS}
    return list(judged), list(judged.values())


def _folds(given: NDArray[np.int64], units: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each row: rows of a unit share it, and the units of each class are dealt out evenly."""
    rank = {unit: hashlib.sha256(unit.encode("utf-8", "surrogatepass")).digest() for unit in set(units)}
    fold: dict[str, int] = {}
    for i in sorted(range(len(units)), key=lambda i: (given[i], rank[units[i]])):
        fold.setdefault(units[i], len(fold) % FOLDS)
    return np.array([fold[unit] for unit in units], np.int64)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))

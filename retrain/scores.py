"""How well predicted labels agree with true ones. Plain labels in, plain figures out.

Averages follow scikit-learn: a class without a prediction has precision 0, and the macro average runs over every
class that occurs among the true or the predicted labels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

from store.errors import BadInput


@dataclass(frozen=True, slots=True)
class ClassScores:
    precision: float
    recall: float
    f1: float
    rows: int
    """True rows of the class; 0 for one that was only ever predicted."""


@dataclass(frozen=True, slots=True)
class Scores:
    """All shares lie between 0 and 1."""

    rows: int
    accuracy: float
    interval: tuple[float, float]
    """95 % Wilson interval of the accuracy."""
    macro_f1: float
    majority_label: str
    majority_accuracy: float
    """What always answering `majority_label` would reach on these rows."""
    classes: Mapping[str, ClassScores]
    confusion: Mapping[str, Mapping[str, int]]
    """Rows by true, then predicted label; pairs that never occur are absent."""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "interval": list(self.interval)}


def score_labels(truth: Sequence[str], predicted: Sequence[str], *, majority: str | None = None) -> Scores:
    """Compare labels row by row.

    majority: the most frequent label of the training rows; without it, the most frequent one of `truth`, which is
    the strongest constant answer there is. Raises BadInput when there is nothing to compare.
    """
    if len(truth) != len(predicted):
        raise BadInput(f"{len(truth)} true labels but {len(predicted)} predicted ones; they must pair up")
    if not truth:
        raise BadInput("there are no rows to score")
    rows = len(truth)
    pairs = Counter(zip(truth, predicted, strict=True))
    true_rows, predicted_rows = Counter(truth), Counter(predicted)
    classes = {
        label: _class_scores(pairs[label, label], true_rows[label], predicted_rows[label])
        for label in sorted(true_rows.keys() | predicted_rows.keys())
    }
    confusion: dict[str, dict[str, int]] = {}
    for (true, answer), count in sorted(pairs.items()):
        confusion.setdefault(true, {})[answer] = count
    right = sum(count for (true, answer), count in pairs.items() if true == answer)
    if majority is None:
        majority = min(true_rows, key=lambda label: (-true_rows[label], label))
    return Scores(
        rows=rows,
        accuracy=right / rows,
        interval=wilson_interval(right, rows),
        macro_f1=sum(scores.f1 for scores in classes.values()) / len(classes),
        majority_label=majority,
        majority_accuracy=true_rows[majority] / rows,
        classes=classes,
        confusion=confusion,
    )


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided score interval of a share (Wilson 1927, JASA 22:209); it stays in [0, 1] and holds for few trials."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials} trials")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def _class_scores(hits: int, true_rows: int, predicted_rows: int) -> ClassScores:
    return ClassScores(
        precision=hits / predicted_rows if predicted_rows else 0.0,
        recall=hits / true_rows if true_rows else 0.0,
        f1=2 * hits / (true_rows + predicted_rows),
        rows=true_rows,
    )

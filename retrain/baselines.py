"""What a version must be compared with before anybody believes that fine-tuning was worth it.

Each baseline learns from the version's training rows, makes its one choice on the validation rows and answers the test
rows. None of them sees a test label. From the cheapest to the dearest: the most frequent label; a heuristic; TF-IDF
with logistic regression, which needs no pretrained model; logistic regression on the frozen features of the base,
which needs no fine-tuning. A network trained from random weights is the trainer's to make; its answers can be added.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain.dataset import Row
from retrain.heuristic import by_keyword, by_neighbour, most_frequent

MOST_TRAINING_ROWS = 20_000
"""Baselines learn from that many rows at most, drawn at random: more would take minutes and hardly help them."""
_WORD_OR_SIGNS = r"\w+|[^\w\s]+"
_TFIDF_C, _TFIDF_PASSES = 10.0, 12
_FROZEN_C = (0.1, 1.0, 10.0)


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """One way of answering, and what it answered to the test rows."""

    name: str
    about: str
    """One sentence for people: how it answers and what was chosen on the validation rows."""
    predicted: tuple[str, ...]
    labels: tuple[str, ...] = ()
    probabilities: NDArray[np.float32] | None = None
    """[rows, classes], columns in the order of `labels`; None for one that has no confidence."""
    seconds: float = 0.0
    """To learn and to answer, without the time that features take."""


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """Rows with their frozen features, [rows, hidden], in the same order."""

    rows: tuple[Row, ...]
    features: NDArray[np.float32]

    @property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]

    @property
    def labels(self) -> list[str]:
        return [row.label for row in self.rows]


def answer_as_baselines(
    train: Taught,
    validation: Taught,
    test: Taught,
    *,
    progress: Callable[[float], None] = lambda share: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Baseline]:
    """Majority, heuristic and, where there are two classes to tell apart, TF-IDF and frozen backbone, in this order.

    train, test: at least one row each. progress: called with the share that is done, 0 to 1.
    """
    train = _at_most(train, MOST_TRAINING_ROWS)
    ways = [_majority, _heuristic]
    if len(set(train.labels)) > 1:
        ways += [_tfidf, _frozen]
    found = []
    for place, way in enumerate(ways, start=1):
        began = clock()
        name, about, predicted, labels, probabilities = way(train, validation, test)
        found.append(Baseline(name, about, tuple(predicted), labels, probabilities, clock() - began))
        progress(place / len(ways))
    return found


_Answered = tuple[str, str, Sequence[str], tuple[str, ...], NDArray[np.float32] | None]


def _majority(train: Taught, validation: Taught, test: Taught) -> _Answered:
    label = most_frequent(train.labels)
    return "majority", f"always answers {label!r}, the most frequent label", [label] * len(test.rows), (), None


def _heuristic(train: Taught, validation: Taught, test: Taught) -> _Answered:
    """The stronger of two on the validation rows; the neighbour where they are equal, or there are none."""

    def keyword(asked: Taught) -> list[str]:
        return by_keyword(asked.texts, train=train.texts, labels=train.labels)

    def neighbour(asked: Taught) -> list[str]:
        return by_neighbour(asked.features, train=train.features, labels=train.labels)

    of_word, of_neighbour = (
        _right(way(validation), validation) if validation.rows else 0 for way in (keyword, neighbour)
    )
    told = f"right in {{}} of {len(validation.rows)} validation rows, the {{}} in {{}}"
    if of_word > of_neighbour:
        about = f"the most telling word of the text decides ({told.format(of_word, 'most similar text', of_neighbour)})"
        return "heuristic", about, keyword(test), (), None
    about = f"the label of the most similar training text ({told.format(of_neighbour, 'most telling word', of_word)})"
    return "heuristic", about, neighbour(test), (), None


def _tfidf(train: Taught, validation: Taught, test: Taught) -> _Answered:
    """SAGA passes over the rows one by one: a few passes do what takes L-BFGS many times as long with these columns."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    parts = (
        TfidfVectorizer(token_pattern=_WORD_OR_SIGNS, ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32),
    )
    known = hstack([part.fit_transform(train.texts) for part in parts], format="csr")
    asked = hstack([part.transform(test.texts) for part in parts], format="csr")
    model = LogisticRegression(C=_TFIDF_C, solver="saga", tol=1e-3, max_iter=_TFIDF_PASSES, random_state=0)
    with _calmly():
        model.fit(known, train.labels)
    about = f"word and letter n-grams, TF-IDF, logistic regression (C = {_TFIDF_C:g})"
    return "tfidf", about, *_answers_of(model, asked)


def _frozen(train: Taught, validation: Taught, test: Taught) -> _Answered:
    """Features are centred and brought to one scale, so that the same few C suit every base."""
    from sklearn.linear_model import LogisticRegression

    middle = train.features.mean(axis=0)
    scale = max(float((train.features - middle).std()), 1e-12)
    known, tuned, asked = ((part.features - middle) / scale for part in (train, validation, test))
    model = LogisticRegression(solver="lbfgs", tol=1e-3, max_iter=50, warm_start=True)
    tried = []
    for c in _FROZEN_C if validation.rows else _FROZEN_C[1:2]:
        model.set_params(C=c)
        with _calmly():
            model.fit(known, train.labels)
        right = _right(model.predict(tuned), validation) if validation.rows else 0
        tried.append((right, c, _answers_of(model, asked)))
    _, c, answers = max(tried, key=lambda one: one[0])
    return "frozen", f"the base as it came, logistic regression on its features (C = {c:g})", *answers


def _answers_of(model: Any, asked: Any) -> tuple[list[str], tuple[str, ...], NDArray[np.float32]]:
    labels = tuple(str(label) for label in model.classes_)
    probabilities = np.asarray(model.predict_proba(asked), np.float32)
    return [labels[i] for i in probabilities.argmax(axis=1)], labels, probabilities


def _right(predicted: Iterable[str], truth: Taught) -> int:
    return sum(answer == row.label for answer, row in zip(predicted, truth.rows, strict=True))


def _at_most(taught: Taught, rows: int) -> Taught:
    if len(taught.rows) <= rows:
        return taught
    places = np.sort(np.random.default_rng(0).permutation(len(taught.rows))[:rows])
    return Taught(tuple(taught.rows[i] for i in places), taught.features[places])


@contextmanager
def _calmly() -> Iterator[None]:
    """One thread: the matrices are small, and threads that wait for each other took six times the processor time.
    The last passes of a solver change hardly an answer; scikit-learn would warn that they are missing."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield

"""What a check compares: six signals of a reference and a window, each as features of a row.

| signal          | features of a row                                    | what counts | says something about          |
| --------------- | ---------------------------------------------------- | ----------- | ----------------------------- |
| length          | rank, its distance from the middle, both tails       | largest     | the input (covariate shift)   |
| data_quality    | cut off, unknown tokens, characters a token          | largest     | broken texts, other languages |
| embedding       | random Fourier features of the sketch                | sum         | the input, as the model sees  |
| predicted_label | the probability of each label                        | largest     | what is asked for (prior)     |
| confidence      | rank; entropy of the answer, and its upper tail      | largest     | how sure the model is         |
| out_of_scope    | upper tail of entropy and distance together          | upward      | what it was not made for      |

Whatever is fitted here (ranks, quantiles, centroids, bandwidth) is fitted on both samples together, without a look at
which row came from where. So while nothing drifts every way to deal the rows out is as likely as the one that came,
and the p-values of `monitor/joint_test.py` hold.

**Why tails, and why smooth ones.** One text in twenty that the model was not made for hardly moves a mean or a median;
it is among the few of which the model is least sure. Where that tail begins nobody knows, and to try six edges costs
power six times. A high power of the rank weighs the uppermost rows most and every row some, and is one feature. See
docs/decisions/0011 for what each of these sees.

**Why float16.** Predictions are recorded in half precision. A reference in full precision would differ from them
in nothing but rounding, which a rank test sees at once where confidences crowd below 1. So it is rounded alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitor.window import Window
from store.reference import Reference

LABEL = "predicted_label"
OUT_OF_SCOPE = "out_of_scope"

_FREQUENCIES = 64
_FREQUENCIES_SEED = 20_260_102
_SMALLEST_PROBABILITY = 2.0**-24
"""The smallest but 0 that float16 can hold."""
_FEWEST_CHARS, _LEAST_SURE, _STRANGEST = 19, 19, 29
"""Powers of a rank in (0, 1): half their sum comes from the uppermost 3.4 % (19) or 2.3 % (29)."""


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """One signal of every row, those of the reference first."""

    features: NDArray[np.float64]
    """[rows, features]"""
    told: tuple[str, ...]
    """Each feature in a person's words."""
    combined: Literal["largest", "upward", "sum"]
    """What counts: the feature that differs most in either direction, or upward only; or all of them together."""
    drawn: NDArray[Any]
    """[rows]: what a picture shows; indices into `labels` for the predicted label, else floats."""
    weight: float = 1.0
    """Its share of the false alarms, compared with others."""


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    labels: tuple[str, ...]
    reference_rows: int
    window_rows: int
    by_name: Mapping[str, Signal]


def signals_of(reference: Reference, window: Window) -> Signals:
    """The signals of a reference and a window, both with at least one row."""
    probabilities = np.concatenate([_halved(reference.probabilities), window.probabilities]).astype(np.float64)
    sketches = np.concatenate([_halved(reference.sketches), window.sketches]).astype(np.float64)
    lengths = np.concatenate([reference.length_tokens, window.length_tokens]).astype(np.float64)
    chars = np.concatenate([reference.length_chars, window.length_chars]).astype(np.float64)
    unknown = np.concatenate([reference.unknown_tokens, window.unknown_tokens]) / np.maximum(lengths, 1)
    predicted = np.concatenate([reference.probabilities.argmax(axis=1), window.predicted])
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, _SMALLEST_PROBABILITY)), axis=1)
    strangeness = 2 * _normal_score(entropy) + _normal_score(_distance_to_own_class(sketches, predicted))
    return Signals(
        labels=reference.labels,
        reference_rows=reference.rows,
        window_rows=window.rows,
        by_name={
            "length": _length(lengths),
            "data_quality": _data_quality(lengths, chars, unknown, max_tokens=reference.max_tokens),
            "embedding": _embedding(sketches),
            LABEL: _predicted(predicted, probabilities, reference.labels),
            "confidence": _confidence(probabilities.max(axis=1), entropy),
            OUT_OF_SCOPE: _out_of_scope(strangeness),
        },
    )


def _length(lengths: NDArray[np.float64]) -> Signal:
    rank = _rank(lengths)
    columns = {"length": rank, "spread of the length": (rank - 0.5) ** 2}
    columns |= _upper("longest", lengths, (0.05, 0.2)) | _upper("shortest", -lengths, (0.05, 0.2))
    return Signal(_side_by_side(columns), tuple(columns), "largest", lengths)


def _data_quality(
    lengths: NDArray[np.float64], chars: NDArray[np.float64], unknown: NDArray[np.float64], *, max_tokens: int
) -> Signal:
    """A vocabulary made for one language breaks the words of another into many small tokens, and so it does with codes,
    with what was decoded wrongly and with noise."""
    columns = {"any unknown token": (unknown > 0).astype(np.float64), "share of unknown tokens": _rank(unknown)}
    columns |= _upper("most unknown tokens", unknown, (0.05,))
    if max_tokens:
        columns["cut off texts"] = (lengths >= max_tokens).astype(np.float64)
    if (chars < 0).any():
        return Signal(_side_by_side(columns), tuple(columns), "largest", unknown)
    chars_a_token = chars / np.maximum(lengths, 1)
    columns["characters a token"] = _rank(chars_a_token)
    columns["texts of the fewest characters a token"] = _rank(-chars_a_token) ** _FEWEST_CHARS
    return Signal(_side_by_side(columns), tuple(columns), "largest", chars_a_token)


def _predicted(predicted: NDArray[np.int64], probabilities: NDArray[np.float64], labels: Sequence[str]) -> Signal:
    """Of two labels that a text may have both are counted, each by its probability; counts of the answers would throw
    that away."""
    told = tuple(f"label {label!r}" for label in labels)
    return Signal(probabilities, told, "largest", predicted, weight=4.0)


def _confidence(confidence: NDArray[np.float64], entropy: NDArray[np.float64]) -> Signal:
    columns = {
        "confidence": _rank(confidence),
        "entropy of the answers": entropy,
        "entropy of the least sure": _rank(entropy) ** _LEAST_SURE,
    }
    return Signal(_side_by_side(columns), tuple(columns), "largest", confidence, weight=2.0)


def _out_of_scope(strangeness: NDArray[np.float64]) -> Signal:
    """Upward only: fewer strange texts than before are no trouble."""
    features = _rank(strangeness)[:, None] ** _STRANGEST
    return Signal(features, ("strangeness of the strangest",), "upward", strangeness, weight=4.0)


def _embedding(sketches: NDArray[np.float64]) -> Signal:
    """The means of these features are as far apart as the maximum mean discrepancy of a Gaussian kernel has it (Gretton
    et al. 2012, JMLR 13:723; random features: Rahimi and Recht 2007). Its width: the root mean square distance of two
    rows. Drawn is the direction in which rows vary most."""
    centred = sketches - sketches.mean(axis=0)
    width = float(np.sqrt(2 * np.mean(np.sum(centred**2, axis=1)))) or 1.0
    normal = np.random.RandomState(_FREQUENCIES_SEED).standard_normal((sketches.shape[1], _FREQUENCIES))
    angles = centred @ (normal / width)
    features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(_FREQUENCIES)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return Signal(features, ("embedding",) * features.shape[1], "sum", centred @ axes[:, -1])


def _distance_to_own_class(sketches: NDArray[np.float64], predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    """From each row to the mean of the others with the same predicted label; to that of all if there is no other."""
    _, label = np.unique(predicted, return_inverse=True)
    members = (label[:, None] == np.arange(label.max() + 1)).astype(np.float64)
    count = members.sum(axis=0)[label][:, None]
    others = (members.T @ sketches)[label] - sketches
    centre = np.where(count > 1, others / np.maximum(count - 1, 1), sketches.mean(axis=0))
    return np.asarray(np.linalg.norm(sketches - centre, axis=1), np.float64)


def _side_by_side(columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.stack(list(columns.values()), axis=1)


def _upper(told: str, values: NDArray[np.float64], tails: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """Whether a row is among the largest of both samples, for each tail; ties are in or out together."""
    edges = np.quantile(values, [1 - tail for tail in tails])
    return {
        f"{told} {100 * tail:g} %": (values >= edge).astype(np.float64) for tail, edge in zip(tails, edges, strict=True)
    }


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks in (0, 1), equal for equal values."""
    return np.asarray((stats.rankdata(values) - 0.5) / len(values), np.float64)


def _normal_score(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a normal distribution has at each value's rank."""
    return np.asarray(stats.norm.ppf(_rank(values)), np.float64)


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.astype("<f2").astype(np.float32)

"""Rows far from everything: rows of another kind, damaged texts, or a world that the base does not know.

Distance is one minus the cosine of the features, to the nearest neighbours among the other texts. Each text counts
once: where most rows repeat one, all distances but a few would be 0, and whatever is said once would lie far out.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrain.audit.base_view import BaseView
from retrain.audit.finding import Finding, Severity, make_finding, rows_told
from retrain.dataset import Row

NEIGHBOURS = 5
_FAR_SPREADS = 3.0
"""Beyond the upper quartile, in spreads between the quartiles: Tukey's outer fence (1977)."""
_SAMPLE = 4_096
"""Neighbours are first looked for among so many texts, spread evenly: all pairs of 20,000 would take half a minute."""
_PAIRS = 2_048 * _SAMPLE
"""Compared at once: 32 MiB."""
_MIN_TEXTS = 30
_UNLIKE_SHARE = 0.25


def outliers(whole: Mapping[int, Row], view: BaseView, *, previous: Iterable[Row] = ()) -> Iterable[Finding]:
    """previous: the snapshot that the rows follow on; only what it did not have can be far from what is known."""
    numbers_of: dict[str, list[int]] = {}
    for number, row in whole.items():
        numbers_of.setdefault(row.group, []).append(number)
    if len(numbers_of) < _MIN_TEXTS:
        return
    texts = list(numbers_of.values())
    own = view.features[np.array([numbers[0] for numbers in texts]) - 1]
    far = _far_from_others(own)
    if far:
        numbers = [number for text in far for number in texts[text]]
        message = f"{rows_told(len(numbers))} unlike any other, the farthest first; look whether they belong here"
        yield make_finding("outliers", "warning", message, numbers)
    if view.known is not None and len(view.known) >= _MIN_TEXTS:
        had = {row.group for row in previous}
        new = [place for place, text in enumerate(numbers_of) if text not in had]
        yield from _far_from_known([texts[place] for place in new], own[new], view.known)


def neighbour_distances(
    asked: NDArray[np.float32], among: NDArray[np.float32], *, skip_same: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Mean distance of each of `asked` [rows, hidden] to its NEIGHBOURS nearest of `among` [others, hidden].

    skip_same: [rows], which of `among` each row is itself, -1 for none. Distances are 0 to 2.
    """
    others = _unit_length(among)
    wanted = min(NEIGHBOURS, max(1, len(among) - (skip_same is not None)))
    found = np.empty(len(asked))
    at_once = max(1, _PAIRS // max(1, len(others)))
    for first in range(0, len(asked), at_once):
        cosine = _unit_length(asked[first : first + at_once]) @ others.T
        if skip_same is not None:
            same = skip_same[first : first + at_once]
            rows = np.flatnonzero(same >= 0)
            cosine[rows, same[rows]] = -1.0
        nearest = np.partition(cosine, -wanted, axis=1)[:, -wanted:]
        found[first : first + at_once] = 1 - nearest.mean(axis=1)
    return found


def _far_from_others(features: NDArray[np.float32]) -> list[int]:
    """Places of the texts beyond the fence, the farthest first.

    A sample holds too few texts of a rare kind to be their neighbours, so what is far from it is looked at again among
    all texts. At most a quarter lies beyond an upper quartile.
    """
    distance = _among_themselves(features)
    suspected = np.flatnonzero(_beyond_fence(distance, distance))
    if not len(suspected):
        return []
    if len(features) > _SAMPLE:
        again = neighbour_distances(features[suspected], features, skip_same=suspected)
        kept = _beyond_fence(again, distance)
        suspected, again = suspected[kept], again[kept]
    else:
        again = distance[suspected]
    return [int(place) for place in suspected[np.argsort(-again, kind="stable")]]


def _among_themselves(features: NDArray[np.float32]) -> NDArray[np.float64]:
    sample = _spread(len(features))
    itself = np.full(len(features), -1, np.int64)
    itself[sample] = np.arange(len(sample))
    return neighbour_distances(features, features[sample], skip_same=itself)


def _spread(count: int) -> NDArray[np.int64]:
    """At most _SAMPLE places among `count`, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))


def _far_from_known(
    texts: Sequence[Sequence[int]], own: NDArray[np.float32], known: NDArray[np.float32]
) -> Iterable[Finding]:
    """texts: row numbers of each. own: [texts, hidden]."""
    if len(texts) < _MIN_TEXTS:
        return
    usual_texts = known[_spread(len(known))]
    distance = neighbour_distances(own, usual_texts)
    usual = _among_themselves(usual_texts)
    far = np.flatnonzero(_beyond_fence(distance, usual))
    if len(far):
        order = far[np.argsort(-distance[far], kind="stable")]
        numbers = [number for text in order for number in texts[text]]
        looked_at = sum(map(len, texts))
        share = len(numbers) / looked_at
        message = (
            f"{rows_told(len(numbers))} of {looked_at} ({share:.0%}) far from those that production was validated on: "
            f"median distance {np.median(distance):.2f}, there {np.median(usual):.2f}; the farther, the more rows a "
            "good model needs"
        )
        severity: Severity = "warning" if share >= _UNLIKE_SHARE else "info"
        yield make_finding("far_from_base", severity, message, numbers)


def _beyond_fence(distance: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = np.quantile(usual, [0.25, 0.75])
    return np.asarray(distance > high + _FAR_SPREADS * max(high - low, 1e-6))


def _unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))

"""Rows far from everything: rows of another kind, damaged texts, or a world that the base does not know.

Distance is one minus the cosine of the features, to the nearest neighbours.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from retrain.audit.base_view import BaseView
from retrain.audit.finding import Finding, Severity, make_finding, rows_told
from retrain.dataset import Row

NEIGHBOURS = 5
_FAR_SPREADS = 3.0
"""Beyond the upper quartile, in spreads between the quartiles: Tukey's outer fence (1977)."""
_SAMPLE = 4_096
"""Neighbours are looked for among so many rows, spread evenly: all pairs of 20,000 would take half a minute."""
_CHUNK = 2_048
_MIN_ROWS = 30
_UNLIKE_SHARE = 0.25


def outliers(whole: Mapping[int, Row], view: BaseView) -> Iterable[Finding]:
    if len(whole) < _MIN_ROWS:
        return
    numbers = np.array(list(whole), np.int64)
    own = view.features[numbers - 1]
    distance = _among_themselves(own)
    far = _beyond_fence(distance, distance)
    if far.any():
        order = np.flatnonzero(far)[np.argsort(-distance[far], kind="stable")]
        message = f"{rows_told(len(order))} unlike any other, the farthest first; look whether they belong here"
        yield make_finding("outliers", "warning", message, numbers[order].tolist())
    if view.known is not None and len(view.known) >= _MIN_ROWS:
        yield from _far_from_known(numbers, own, view.known)


def neighbour_distances(
    asked: NDArray[np.float32], among: NDArray[np.float32], *, skip_same: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Mean distance of each of `asked` [rows, hidden] to its NEIGHBOURS nearest of `among` [others, hidden].

    skip_same: [rows], which of `among` each row is itself, -1 for none. Distances are 0 to 2.
    """
    others = _unit_length(among)
    wanted = min(NEIGHBOURS, max(1, len(among) - (skip_same is not None)))
    found = np.empty(len(asked))
    for first in range(0, len(asked), _CHUNK):
        cosine = _unit_length(asked[first : first + _CHUNK]) @ others.T
        if skip_same is not None:
            same = skip_same[first : first + _CHUNK]
            rows = np.flatnonzero(same >= 0)
            cosine[rows, same[rows]] = -1.0
        nearest = np.partition(cosine, -wanted, axis=1)[:, -wanted:]
        found[first : first + _CHUNK] = 1 - nearest.mean(axis=1)
    return found


def _among_themselves(features: NDArray[np.float32]) -> NDArray[np.float64]:
    sample = np.unique(np.linspace(0, len(features) - 1, min(len(features), _SAMPLE)).astype(np.int64))
    itself = np.full(len(features), -1, np.int64)
    itself[sample] = np.arange(len(sample))
    return neighbour_distances(features, features[sample], skip_same=itself)


def _far_from_known(
    numbers: NDArray[np.int64], own: NDArray[np.float32], known: NDArray[np.float32]
) -> Iterable[Finding]:
    distance = neighbour_distances(own, known)
    usual = _among_themselves(known)
    far = _beyond_fence(distance, usual)
    if far.any():
        share = far.mean()
        order = np.flatnonzero(far)[np.argsort(-distance[far], kind="stable")]
        message = (
            f"{rows_told(len(order))} ({share:.0%}) far from the base's validation data: median distance "
            f"{np.median(distance):.2f}, there {np.median(usual):.2f}; the farther, the more rows a good model needs"
        )
        severity: Severity = "warning" if share >= _UNLIKE_SHARE else "info"
        yield make_finding("far_from_base", severity, message, numbers[order].tolist())


def _beyond_fence(distance: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = np.quantile(usual, [0.25, 0.75])
    return np.asarray(distance > high + _FAR_SPREADS * max(high - low, 1e-6))


def _unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))

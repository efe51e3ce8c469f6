"""One permutation test for all signals together: which of them differ between reference and window, if any does?

While nothing drifts, the rows of both samples could be dealt out again at random, and each such deal is as likely as
the one that came. So the p-value of any statistic is the share of deals in which it is as large (Phipson and Smyth
2010, arXiv:1603.05766, with the deal that came among them); it holds for every sample size and every distribution.

Every statistic here is made of sums of features over the rows of the window, so that one matrix product serves all
deals. A signal's p-value is found for *every* deal; a deal's best p-value over all signals tells how small the best of
so many gets by chance alone, and that is what the p-values of the deal that came are compared with (min-p, Westfall
and Young 1993; Ge, Dudoit and Speed 2003, Test 12:1). The chance that anything is called different while nothing drifts
is then what was asked for, however the signals hang together: two that say the same cost no more than one. Signals of
more weight get a larger share of that chance.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitor.signals import Signal, Signals

_SEED = 20_261_122
_DEALS_AT_ONCE = 256
_LARGEST_SCORE = 30.0


@dataclass(frozen=True, slots=True)
class SignalTest:
    """What the test says of one signal."""

    p_value: float
    """Adjusted for all signals that are looked at."""
    alone: float
    """What it would be, were this the only signal."""


class Deals:
    """Who is in the window, in each deal; the first deal is the one that came. Seeded: same data, same p-values."""

    def __init__(self, reference_rows: int, window_rows: int, *, permutations: int) -> None:
        self.reference_rows = reference_rows
        self.window_rows = window_rows
        self.rows = reference_rows + window_rows
        rng = np.random.default_rng(_SEED)
        came = np.arange(self.rows) >= reference_rows
        packed = [np.packbits(came[None], axis=1)]
        for start in range(0, permutations, _DEALS_AT_ONCE):
            count = min(_DEALS_AT_ONCE, permutations - start)
            packed.append(np.packbits(_dealt(rng, count, self.rows, window_rows), axis=1))
        self._packed = np.concatenate(packed)

    def __len__(self) -> int:
        return len(self._packed)

    def in_window(self, start: int, end: int) -> NDArray[np.bool_]:
        """[deals, rows] of the deals from `start` to before `end`."""
        return np.unpackbits(self._packed[start:end], axis=1, count=self.rows).astype(np.bool_)

    def sums(self, whole: NDArray[np.float32]) -> NDArray[np.float64]:
        """[deals, features] of `whole` numbers [rows, features]: summed over the rows of each deal's window."""
        sums = np.empty((len(self), whole.shape[1]), np.float64)
        for start in range(0, len(self), _DEALS_AT_ONCE):
            inside = self.in_window(start, start + _DEALS_AT_ONCE)
            sums[start : start + _DEALS_AT_ONCE] = inside.astype(np.float32) @ whole
        return sums


@lru_cache(maxsize=8)
def deals_for(reference_rows: int, window_rows: int, rate: float) -> Deals:
    """So many that a `rate` is reached with room to spare, even if one of six signals is all that differs. Samples of
    the same sizes are dealt out alike: checks have a usual size."""
    return Deals(reference_rows, window_rows, permutations=max(999, ceil(50 / rate) - 1))


def _dealt(rng: np.random.Generator, count: int, rows: int, window_rows: int) -> NDArray[np.bool_]:
    """[count, rows]: the `window_rows` smallest of random keys; where two of them tie at the edge, dealt once more."""
    keys = rng.integers(0, 1 << 32, (count, rows), dtype=np.uint32)
    edge = np.partition(keys, window_rows - 1, axis=1)[:, window_rows - 1 : window_rows]
    inside: NDArray[np.bool_] = keys <= edge
    odd = np.flatnonzero(inside.sum(axis=1) != window_rows)
    if len(odd):
        inside[odd] = _dealt(rng, len(odd), rows, window_rows)
    return inside


def joint_test(signals: Signals, deals: Deals) -> dict[str, SignalTest]:
    """By signal. Raises ValueError for `deals` of other samples."""
    if (signals.reference_rows, signals.window_rows) != (deals.reference_rows, deals.window_rows):
        raise ValueError(
            f"deals of {deals.reference_rows} and {deals.window_rows} rows are none of "
            f"{signals.reference_rows} and {signals.window_rows}"
        )
    by_name = signals.by_name
    whole = {name: _as_whole_numbers(signal.features) for name, signal in by_name.items()}
    sums = deals.sums(np.concatenate(list(whole.values()), axis=1))
    ends = np.cumsum([features.shape[1] for features in whole.values()])
    of_signal = dict(zip(whole, np.split(sums, ends[:-1], axis=1), strict=True))
    statistics = [_statistic(by_name[name], whole[name], of_signal[name], deals) for name in whole]
    weights = np.array([signal.weight for signal in by_name.values()])
    alone = np.stack([_shares_as_large(statistic) for statistic in statistics], axis=1)
    weighed = alone / weights
    best = weighed.min(axis=1)
    return {
        name: SignalTest(p_value=float(np.mean(best <= weighed[0, index])), alone=float(alone[0, index]))
        for index, name in enumerate(whole)
    }


def _as_whole_numbers(features: NDArray[np.float64]) -> NDArray[np.float32]:
    """The same features in steps as fine as they may be for a sum of all rows to be exact, whatever its order: float32
    holds every whole number up to 2^24. 0 and 1 stay what they are."""
    largest = np.abs(features).sum(axis=0)
    steps = np.exp2(np.ceil(np.log2(np.maximum(largest, 1e-30))) - 23)
    whole = np.where(_is_binary(features), features, np.rint(features / steps))
    return whole.astype(np.float32)


def _is_binary(features: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(((features == 0) | (features == 1)).all(axis=0), np.bool_)


def _statistic(
    signal: Signal, whole: NDArray[np.float32], sums: NDArray[np.float64], deals: Deals
) -> NDArray[np.float64]:
    """[deals]"""
    if signal.combined == "sum":
        scale = signal.features.std(axis=0) / np.maximum(whole.std(axis=0, dtype=np.float64), 1e-30)
        away = (sums - deals.window_rows * whole.mean(axis=0, dtype=np.float64)) * scale
        return np.asarray(np.square(away).sum(axis=1), np.float64)
    scores = np.empty_like(sums)
    for feature, binary in enumerate(_is_binary(signal.features)):
        score = _score_of_counts if binary else _score_of_sums
        scores[:, feature] = score(whole[:, feature].astype(np.float64), sums[:, feature], deals)
    if signal.combined == "largest":
        scores = np.abs(scores)
    return np.asarray(scores.max(axis=1), np.float64)


def _score_of_counts(column: NDArray[np.float64], counts: NDArray[np.float64], deals: Deals) -> NDArray[np.float64]:
    """The normal score of a count's mid-p-value among all deals, hypergeometric: a count that can hardly be anything
    but 0 or 1 would look extreme in standard deviations, and so set the measure for all others."""
    members = int(column.sum())
    possible = np.arange(min(members, deals.window_rows) + 1)
    law = stats.hypergeom(deals.rows, members, deals.window_rows)
    half = 0.5 * law.pmf(possible)
    below, above = law.cdf(possible) - half, law.sf(possible) + half
    smaller = np.minimum(below, above)
    score = np.minimum(-stats.norm.ppf(np.maximum(smaller, 1e-190)), _LARGEST_SCORE)
    signed = np.where(above <= below, score, -score)
    return np.asarray(signed[counts.astype(np.int64)], np.float64)


def _score_of_sums(column: NDArray[np.float64], sums: NDArray[np.float64], deals: Deals) -> NDArray[np.float64]:
    """In standard deviations over all deals."""
    spread = np.sqrt(deals.reference_rows * deals.window_rows / max(deals.rows - 1, 1)) * column.std()
    return np.asarray((sums - deals.window_rows * column.mean()) / (spread or np.inf), np.float64)


def _shares_as_large(statistic: NDArray[np.float64]) -> NDArray[np.float64]:
    """[deals]: the share of deals in which `statistic` [deals] is as large as in this one."""
    count = len(statistic)
    return np.asarray((count - np.searchsorted(np.sort(statistic), statistic, side="left")) / count, np.float64)

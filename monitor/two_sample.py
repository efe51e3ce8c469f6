"""The two tests behind every p-value: are these two samples from one source?

Both treat the reference as what it is, a sample with an error of its own. Evidently's built-in chi-square takes the
reference shares for exact and raises a false alarm in 43 % of windows (1,000 rows against 800), so the label test
is ours, registered with Evidently in `monitor/report.py`. A backtest calls these functions directly, without drawing.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitor.signals import LABEL, Signals

PERMUTATIONS = 9_999


@dataclass(frozen=True, slots=True)
class TwoSample:
    p_value: float
    distance: float
    """How far apart, 0 to 1, whatever the sample size: K-S statistic, or total variation for labels."""


def kolmogorov_smirnov(reference: NDArray[np.float64], current: NDArray[np.float64]) -> TwoSample:
    """Two-sample Kolmogorov-Smirnov, two-sided; conservative where values tie (lengths, shares of 0)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful", RuntimeWarning)  # asymptotic then
        found = stats.ks_2samp(reference, current)
    return TwoSample(p_value=float(found.pvalue), distance=float(found.statistic))


def homogeneity(reference: NDArray[Any], current: NDArray[Any]) -> TwoSample:
    """Chi-square test of homogeneity of two samples of labels, by permutation.

    The statistic is Pearson's on the 2 x k table; its distribution is drawn with both margins fixed, so that the
    p-value holds for any number of labels, however rare, where the chi-square table wants 5 expected in every cell.
    p = (b + 1) / (B + 1) (Phipson and Smyth 2010, arXiv:1603.05766). Only beyond that resolution, when none of B
    draws reaches the statistic, the chi-square tail says how small p is. The generator is seeded: same data, same p.
    """
    _, codes = np.unique(np.concatenate([reference, current]), return_inverse=True)
    totals = np.bincount(codes)
    rows, current_rows = len(codes), len(current)
    if len(totals) < 2:
        return TwoSample(p_value=1.0, distance=0.0)
    observed = np.bincount(codes[len(reference) :], minlength=len(totals))
    order = np.argsort(-totals, kind="stable")  # the names of the labels must not matter to the seeded draws
    totals, observed = totals[order], observed[order]
    expected = totals * (current_rows / rows)
    scale = rows / len(reference)  # adds the reference's row of the table

    def pearson(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        terms: NDArray[np.float64] = np.square(counts - expected) / expected * scale
        return np.asarray(terms.sum(axis=-1), dtype=np.float64)

    statistic = float(pearson(observed))
    rng = np.random.default_rng(0)
    method: Literal["marginals", "count"] = "marginals" if len(totals) <= 50 else "count"  # whichever is quicker
    drawn = pearson(rng.multivariate_hypergeometric(totals, current_rows, size=PERMUTATIONS, method=method))
    reached = int(np.count_nonzero(drawn >= statistic * (1 - 1e-12)))
    p_value = (reached + 1) / (PERMUTATIONS + 1)
    if reached == 0:
        p_value = min(p_value, float(stats.chi2.sf(statistic, len(totals) - 1)))
    shares = np.abs(observed / current_rows - (totals - observed) / len(reference))
    return TwoSample(p_value=p_value, distance=float(shares.sum() / 2))


def measure(signals: Signals) -> Mapping[str, TwoSample]:
    """Every column of `signals` tested, without Evidently: what a backtest of thousands of windows can afford."""
    return {
        column: homogeneity(signals.reference[column], signals.current[column])
        if column == LABEL
        else kolmogorov_smirnov(signals.reference[column], signals.current[column])
        for column in signals.columns
    }


def score(p_value: float) -> float:
    """-log10 of a p-value, at most 300: a gauge that grows with the evidence."""
    return min(300.0, -math.log10(max(p_value, 1e-300)))

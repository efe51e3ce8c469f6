"""Which rows run together: padding is the enemy, so rows of similar length do, within a token budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run costs: `overhead_tokens + padded tokens` at `tokens_per_s`."""

    overhead_tokens: float
    """The fixed cost of a run, in tokens that could have been computed instead."""
    tokens_per_s: float


def fit_run_cost(tokens: Sequence[int], seconds: Sequence[float]) -> RunCost:
    """A line through measured runs (padded tokens, seconds), least squares weighted by 1 / seconds.

    The overhead is held between 0 and 256 tokens: a measurement on a busy machine must not make the plan absurd.
    """
    weights = 1 / np.asarray(seconds)
    slope, fixed = np.polyfit(np.asarray(tokens, float), np.asarray(seconds), 1, w=weights)
    slope = max(float(slope), 1e-9)
    return RunCost(overhead_tokens=min(256.0, max(0.0, float(fixed) / slope)), tokens_per_s=1 / slope)


def plan_batch(lengths: Sequence[int], *, budget_tokens: int, overhead_tokens: float) -> list[int]:
    """Pick the rows that run next, as indices into `lengths`.

    lengths: tokens of the waiting rows, oldest first. The oldest always goes, even alone above the budget, so no
    row waits for ever. The others are tried from the nearest in length on, oldest first among equals; one joins if
    the batch stays within the budget and the padding it causes costs less than a run of its own would
    (overhead_tokens). Rows in the batch times its longest row stays within the budget.
    """
    if not lengths:
        return []
    first = lengths[0]
    order = sorted(range(1, len(lengths)), key=lambda i: abs(lengths[i] - first))
    plan, longest = [0], first
    for i in order:
        if longest * (len(plan) + 1) > budget_tokens:
            break
        longer = max(longest, lengths[i])
        padded = longer * (len(plan) + 1)
        if padded <= budget_tokens and padded - longest * len(plan) - lengths[i] <= overhead_tokens:
            plan.append(i)
            longest = longer
    return plan


def share_of_budget(waiting_tokens: int, *, idle_lanes: int, budget_tokens: int) -> int:
    """Tokens the next batch may take so that no idle lane is left without work: an even share, or the budget."""
    if idle_lanes <= 1:
        return budget_tokens
    return max(1, min(budget_tokens, -(-waiting_tokens // idle_lanes)))

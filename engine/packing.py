"""Which rows run together: a run of few tokens wastes its fixed cost, and padding wastes the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SHARE_OF_A_RUN = 0.25
"""A row that is left out does not run alone: of what a run costs, this is about what it bears. Simulated for 8 to 128
callers, a quarter gave 1 to 5 % more texts/s than a whole run's cost, in fp32 and in int8."""


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run costs, in tokens at `tokens_per_s`: `overhead_tokens`, each token, and the padding at its share."""

    overhead_tokens: float
    """The fixed cost of a run, in tokens that could have been computed instead."""
    tokens_per_s: float
    padding_share: float = 1.0
    """What a token of padding costs, in real ones: 1 for a graph that computes padding like everything else."""

    def padding(self, tokens: int, rows: int, longest: int) -> float:
        """What padding `rows` of so many tokens in all to `longest` costs, in tokens."""
        return self.padding_share * (rows * longest - tokens)

    def seconds(self, tokens: int) -> float:
        """How long one run of so many tokens takes, without padding."""
        return (self.overhead_tokens + tokens) / self.tokens_per_s


_OFFLINE_COST = RunCost(overhead_tokens=8.0, tokens_per_s=1.0, padding_share=0.2)
"""What a run is taken to cost on any machine where nobody waits for it."""
_OFFLINE_AHEAD = 256
"""How many rows such a plan chooses from: they are sorted, so that those further on are longer."""


@dataclass(frozen=True, slots=True)
class TimedRun:
    """How long a batch took."""

    tokens: int
    padding: int
    """Tokens beside them that only fill the rows up."""
    seconds: float


def fit_run_cost(runs: Sequence[TimedRun]) -> RunCost:
    """A plane through measured runs, least squares weighted by 1 / seconds.

    runs: three or more that differ in tokens and in padding. The overhead is held between 0 and 256 tokens and the
    share of padding between 0 and 1: a measurement on a busy machine must not make the plan absurd.
    """
    seconds = np.array([run.seconds for run in runs])
    terms = np.array([(1.0, run.tokens, run.padding) for run in runs])
    fixed, token, padding = np.linalg.lstsq(terms / seconds[:, None], np.ones(len(runs)), rcond=None)[0]
    token = max(float(token), 1e-9)
    return RunCost(
        overhead_tokens=min(256.0, max(0.0, float(fixed) / token)),
        tokens_per_s=1 / token,
        padding_share=min(1.0, max(0.0, float(padding) / token)),
    )


def plan_batch(lengths: Sequence[int], *, budget_tokens: int, cost: RunCost) -> list[int]:
    """Pick the rows that run next, as indices into `lengths`.

    lengths: tokens of the waiting rows, oldest first. The oldest always goes, even alone above the budget, so no
    row waits for ever. The others are tried from the nearest in length on, oldest first among equals; one joins if
    the batch stays within the budget, its padding counted as what it costs, and the padding that it causes costs
    less than its share of another run would.
    """
    if not lengths:
        return []
    first = lengths[0]
    order = sorted(range(1, len(lengths)), key=lambda i: abs(lengths[i] - first))
    plan, tokens, longest, padding = [0], first, first, 0.0
    for i in order:
        if tokens >= budget_tokens:
            break
        together = tokens + lengths[i]
        longer = max(longest, lengths[i])
        padded = cost.padding(together, len(plan) + 1, longer)
        if together + padded <= budget_tokens and padded - padding <= _SHARE_OF_A_RUN * cost.overhead_tokens:
            plan.append(i)
            tokens, longest, padding = together, longer, padded
    return plan


def plan_offline(lengths: Sequence[int], *, budget_tokens: int) -> list[list[int]]:
    """All rows in batches of similar length, as indices into `lengths`.

    The batches follow from the lengths alone, not from how fast this machine is: in int8 a row's answer depends a
    little on its batch, and an evaluation should come out the same everywhere.
    """
    waiting = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batches = []
    while waiting:
        ahead = [lengths[i] for i in waiting[:_OFFLINE_AHEAD]]
        plan = plan_batch(ahead, budget_tokens=budget_tokens, cost=_OFFLINE_COST)
        batches.append([waiting[i] for i in plan])
        chosen = set(plan)
        waiting = [row for i, row in enumerate(waiting) if i not in chosen]
    return batches


def share_of_budget(waiting_tokens: int, *, idle_lanes: int, budget_tokens: int) -> int:
    """Tokens the next batch may take so that no idle lane is left without work: an even share, or the budget."""
    if idle_lanes <= 1:
        return budget_tokens
    return max(1, min(budget_tokens, -(-waiting_tokens // idle_lanes)))

"""The batch plan: pure, so its promises are tested as properties."""

import pytest
from hypothesis import given
from hypothesis.strategies import builds, floats, integers, just, lists

from engine.packing import RunCost, TimedRun, fit_run_cost, plan_batch, plan_offline, share_of_budget

LENGTHS = lists(integers(1, 512), max_size=200)
BUDGETS = integers(16, 4096)
COSTS = builds(RunCost, overhead_tokens=floats(0, 64), tokens_per_s=just(1000.0), padding_share=floats(0, 1))
EVENLY = RunCost(overhead_tokens=32.0, tokens_per_s=1000.0)
"""A graph that computes padding like everything else."""


@given(lengths=LENGTHS, budget_tokens=BUDGETS, cost=COSTS)
def test_a_plan_takes_the_oldest_and_each_row_once(lengths: list[int], budget_tokens: int, cost: RunCost) -> None:
    plan = plan_batch(lengths, budget_tokens=budget_tokens, cost=cost)
    assert plan[:1] == [0][: len(lengths)]
    assert len(set(plan)) == len(plan)
    assert set(plan) <= set(range(len(lengths)))


@given(lengths=LENGTHS, budget_tokens=BUDGETS, cost=COSTS)
def test_a_plan_of_several_rows_keeps_to_the_budget(lengths: list[int], budget_tokens: int, cost: RunCost) -> None:
    plan = plan_batch(lengths, budget_tokens=budget_tokens, cost=cost)
    chosen = [lengths[i] for i in plan]
    padding = max(chosen, default=0) * len(chosen) - sum(chosen)
    assert len(plan) <= 1 or sum(chosen) + cost.padding_share * padding <= budget_tokens + 1e-6


@given(
    lengths=lists(integers(1, 512), min_size=1, max_size=80),
    budget_tokens=integers(16, 2048),
    cost=COSTS,
)
def test_every_row_is_served_after_as_many_plans_as_there_are_older_rows(
    lengths: list[int], budget_tokens: int, cost: RunCost
) -> None:
    """Nobody starves: each plan takes the oldest, so row i is served by plan i + 1 at the latest."""
    waiting = list(enumerate(lengths))
    plans = 0
    while waiting:
        plan = set(plan_batch([length for _, length in waiting], budget_tokens=budget_tokens, cost=cost))
        plans += 1
        assert all(waiting[i][0] >= plans - 1 for i in plan)
        waiting = [row for i, row in enumerate(waiting) if i not in plan]
    assert plans <= len(lengths)


def test_rows_of_similar_length_ride_together() -> None:
    plan = plan_batch([10, 100, 11, 9, 100, 12], budget_tokens=48, cost=EVENLY)
    assert sorted(plan) == [0, 2, 3, 5]


@given(lengths=LENGTHS, budget_tokens=BUDGETS, cost=COSTS)
def test_riding_together_never_costs_more_than_running_each_row_alone(
    lengths: list[int], budget_tokens: int, cost: RunCost
) -> None:
    plan = plan_batch(lengths, budget_tokens=budget_tokens, cost=cost)
    chosen = [lengths[i] for i in plan]
    padding = max(chosen, default=0) * len(chosen) - sum(chosen)
    together = cost.overhead_tokens * min(1, len(plan)) + sum(chosen) + cost.padding_share * padding
    alone = sum(cost.overhead_tokens + length for length in chosen)
    assert together <= alone + 1e-6


def test_a_row_that_would_cause_more_padding_than_its_share_of_a_run_costs_waits() -> None:
    assert plan_batch([10, 30, 17], budget_tokens=256, cost=EVENLY) == [0, 2]


def test_where_padding_costs_little_rows_of_other_lengths_ride_along() -> None:
    cheap = RunCost(overhead_tokens=8.0, tokens_per_s=1000.0, padding_share=0.1)
    assert plan_batch([10, 22, 12, 60], budget_tokens=256, cost=cheap) == [0, 2, 1]


@given(overhead_tokens=floats(0, 60), tokens_per_s=floats(100, 1e6), padding_share=floats(0, 1))
def test_the_cost_of_a_run_is_found_from_exact_measurements(
    overhead_tokens: float, tokens_per_s: float, padding_share: float
) -> None:
    shapes = [(8, 0), (32, 0), (128, 0), (128, 160)]
    runs = [TimedRun(n, pad, (overhead_tokens + n + padding_share * pad) / tokens_per_s) for n, pad in shapes]
    cost = fit_run_cost(runs)
    assert cost.overhead_tokens == pytest.approx(overhead_tokens, abs=1e-3)
    assert cost.tokens_per_s == pytest.approx(tokens_per_s, rel=1e-3)
    assert cost.padding_share == pytest.approx(padding_share, abs=1e-3)


@given(seconds=lists(floats(1e-6, 10), min_size=4, max_size=4))
def test_the_cost_of_a_run_is_sane_whatever_was_measured(seconds: list[float]) -> None:
    shapes = [(8, 0), (32, 0), (128, 0), (128, 160)]
    cost = fit_run_cost([TimedRun(n, pad, took) for (n, pad), took in zip(shapes, seconds, strict=True)])
    assert 0 <= cost.overhead_tokens <= 256
    assert 0 <= cost.padding_share <= 1
    assert cost.tokens_per_s > 0


@given(waiting_tokens=integers(0, 10**6), idle_lanes=integers(0, 64), budget_tokens=integers(16, 4096))
def test_a_share_leaves_every_idle_lane_work_and_keeps_to_the_budget(
    waiting_tokens: int, idle_lanes: int, budget_tokens: int
) -> None:
    share = share_of_budget(waiting_tokens, idle_lanes=idle_lanes, budget_tokens=budget_tokens)
    assert 1 <= share <= budget_tokens
    assert share == budget_tokens or share * max(1, idle_lanes) >= waiting_tokens


@given(lengths=LENGTHS, budget_tokens=BUDGETS)
def test_offline_every_row_runs_once_shortest_first_within_the_budget(lengths: list[int], budget_tokens: int) -> None:
    batches = plan_offline(lengths, budget_tokens=budget_tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or sum(lengths[i] for i in batch) <= budget_tokens for batch in batches)
    shortest = [lengths[batch[0]] for batch in batches]
    assert shortest == sorted(shortest)

"""The batch plan: pure, so its promises are tested as properties."""

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from engine.packing import fit_run_cost, plan_batch, share_of_budget

LENGTHS = lists(integers(1, 512), max_size=200)
OVERHEADS = floats(0, 64)


@given(lengths=LENGTHS, budget_tokens=integers(16, 4096), overhead_tokens=OVERHEADS)
def test_a_plan_takes_the_oldest_and_each_row_once(
    lengths: list[int], budget_tokens: int, overhead_tokens: float
) -> None:
    plan = plan_batch(lengths, budget_tokens=budget_tokens, overhead_tokens=overhead_tokens)
    assert plan[:1] == [0][: len(lengths)]
    assert len(set(plan)) == len(plan)
    assert set(plan) <= set(range(len(lengths)))


@given(lengths=LENGTHS, budget_tokens=integers(16, 4096), overhead_tokens=OVERHEADS)
def test_a_plan_of_several_rows_keeps_to_the_budget(
    lengths: list[int], budget_tokens: int, overhead_tokens: float
) -> None:
    plan = plan_batch(lengths, budget_tokens=budget_tokens, overhead_tokens=overhead_tokens)
    assert len(plan) <= 1 or max(lengths[i] for i in plan) * len(plan) <= budget_tokens


@given(
    lengths=lists(integers(1, 512), min_size=1, max_size=80),
    budget_tokens=integers(16, 2048),
    overhead_tokens=OVERHEADS,
)
def test_every_row_is_served_after_as_many_plans_as_there_are_older_rows(
    lengths: list[int], budget_tokens: int, overhead_tokens: float
) -> None:
    """Nobody starves: each plan takes the oldest, so row i is served by plan i + 1 at the latest."""
    waiting = list(enumerate(lengths))
    plans = 0
    while waiting:
        plan = set(
            plan_batch([length for _, length in waiting], budget_tokens=budget_tokens, overhead_tokens=overhead_tokens)
        )
        plans += 1
        assert all(waiting[i][0] >= plans - 1 for i in plan)
        waiting = [row for i, row in enumerate(waiting) if i not in plan]
    assert plans <= len(lengths)


def test_rows_of_similar_length_ride_together() -> None:
    plan = plan_batch([10, 100, 11, 9, 100, 12], budget_tokens=48, overhead_tokens=8)
    assert sorted(plan) == [0, 2, 3, 5]


@given(lengths=LENGTHS, budget_tokens=integers(16, 4096), overhead_tokens=OVERHEADS)
def test_riding_together_never_costs_more_than_running_each_row_alone(
    lengths: list[int], budget_tokens: int, overhead_tokens: float
) -> None:
    plan = plan_batch(lengths, budget_tokens=budget_tokens, overhead_tokens=overhead_tokens)
    together = overhead_tokens + max((lengths[i] for i in plan), default=0) * len(plan)
    alone = sum(overhead_tokens + lengths[i] for i in plan)
    assert together <= alone + overhead_tokens * (not plan)


def test_a_row_that_would_cause_more_padding_than_a_run_of_its_own_costs_waits() -> None:
    assert plan_batch([10, 30, 17], budget_tokens=256, overhead_tokens=8) == [0, 2]


@given(overhead_tokens=floats(0, 60), tokens_per_s=floats(100, 1e6))
def test_the_cost_of_a_run_is_found_from_exact_measurements(overhead_tokens: float, tokens_per_s: float) -> None:
    tokens = [8, 32, 128, 256]
    cost = fit_run_cost(tokens, [(overhead_tokens + n) / tokens_per_s for n in tokens])
    assert cost.overhead_tokens == pytest.approx(overhead_tokens, abs=1e-3)
    assert cost.tokens_per_s == pytest.approx(tokens_per_s, rel=1e-3)


@given(seconds=lists(floats(1e-6, 10), min_size=4, max_size=4))
def test_the_cost_of_a_run_is_sane_whatever_was_measured(seconds: list[float]) -> None:
    cost = fit_run_cost([8, 32, 128, 256], seconds)
    assert 0 <= cost.overhead_tokens <= 256
    assert cost.tokens_per_s > 0


@given(waiting_tokens=integers(0, 10**6), idle_lanes=integers(0, 64), budget_tokens=integers(16, 4096))
def test_a_share_leaves_every_idle_lane_work_and_keeps_to_the_budget(
    waiting_tokens: int, idle_lanes: int, budget_tokens: int
) -> None:
    share = share_of_budget(waiting_tokens, idle_lanes=idle_lanes, budget_tokens=budget_tokens)
    assert 1 <= share <= budget_tokens
    assert share == budget_tokens or share * max(1, idle_lanes) >= waiting_tokens

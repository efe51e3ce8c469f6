"""The batch plan: pure, so its promises are tested as properties."""

from hypothesis import given
from hypothesis.strategies import integers, lists

from engine.packing import plan_batch

LENGTHS = lists(integers(1, 512), max_size=200)


@given(lengths=LENGTHS, budget_tokens=integers(16, 4096))
def test_a_plan_takes_the_oldest_and_each_row_once(lengths: list[int], budget_tokens: int) -> None:
    plan = plan_batch(lengths, budget_tokens=budget_tokens)
    assert plan[:1] == [0][: len(lengths)]
    assert len(set(plan)) == len(plan)
    assert set(plan) <= set(range(len(lengths)))


@given(lengths=LENGTHS, budget_tokens=integers(16, 4096))
def test_a_plan_of_several_rows_keeps_to_the_budget(lengths: list[int], budget_tokens: int) -> None:
    plan = plan_batch(lengths, budget_tokens=budget_tokens)
    assert len(plan) <= 1 or max(lengths[i] for i in plan) * len(plan) <= budget_tokens


@given(lengths=lists(integers(1, 512), min_size=1, max_size=80), budget_tokens=integers(16, 2048))
def test_every_row_is_served_after_as_many_plans_as_there_are_older_rows(
    lengths: list[int], budget_tokens: int
) -> None:
    """Nobody starves: each plan takes the oldest, so row i is served by plan i + 1 at the latest."""
    waiting = list(enumerate(lengths))
    plans = 0
    while waiting:
        plan = set(plan_batch([length for _, length in waiting], budget_tokens=budget_tokens))
        plans += 1
        assert all(waiting[i][0] >= plans - 1 for i in plan)
        waiting = [row for i, row in enumerate(waiting) if i not in plan]
    assert plans <= len(lengths)


def test_rows_of_similar_length_ride_together() -> None:
    plan = plan_batch([10, 100, 11, 9, 100, 12], budget_tokens=48)
    assert sorted(plan) == [0, 2, 3, 5]

"""Who may join the queue and whose turn it is: pure, so its promises are tested as properties."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from, tuples

from engine.packing import RunCost
from engine.precision import Precision
from server.waiting import (
    LARGE_TOKENS,
    MOST_TIMES_LIMIT,
    PLAN_AHEAD_BATCHES,
    PLAN_AHEAD_ROWS,
    Waiting,
    priority_class,
)

COST = RunCost(overhead_tokens=8.0, tokens_per_s=1000.0)
COSTS: dict[Precision, RunCost] = {"fp32": COST, "int8": COST}


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    length_tokens: int
    model: str = "tickets"
    priority: int = 2
    precision: Precision = "fp32"
    request: object = field(default_factory=object)


ROWS = lists(
    tuples(integers(1, 128), sampled_from("abc"), integers(1, 3), sampled_from(["fp32", "int8"])).map(
        lambda drawn: Row(drawn[0], drawn[1], drawn[2], drawn[3])
    ),
    max_size=60,
)


def add_each(waiting: Waiting[Row], rows: Iterable[Row]) -> None:
    """Each row is a request of its own."""
    for row in rows:
        waiting.add([row])


def take(waiting: Waiting[Row], budget_tokens: int = 256) -> list[Row]:
    return waiting.take(budget_tokens=budget_tokens, costs=COSTS)


@given(rows=ROWS, budget_tokens=integers(16, 512))
def test_every_row_is_taken_once_in_batches_of_one_precision(rows: list[Row], budget_tokens: int) -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    add_each(waiting, rows)
    assert waiting.tokens == sum(row.length_tokens for row in rows)
    taken = []
    while batch := take(waiting, budget_tokens):
        assert len({row.precision for row in batch}) == 1
        assert len(batch) == 1 or len(batch) * max(row.length_tokens for row in batch) <= budget_tokens
        taken += batch
    assert sorted(map(id, taken)) == sorted(map(id, rows))
    assert (waiting.tokens, len(waiting)) == (0, 0)


@given(rows=ROWS, gone=lists(integers(0, 59), max_size=20))
def test_rows_that_are_given_up_leave_nothing_behind(rows: list[Row], gone: list[int]) -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    add_each(waiting, rows)
    given_up = [rows[i] for i in sorted(set(gone)) if i < len(rows)]
    assert waiting.remove(given_up) == given_up
    assert waiting.remove(given_up) == []
    left = [row for row in rows if row not in given_up]
    assert waiting.tokens == sum(row.length_tokens for row in left)
    while take(waiting):
        pass
    assert waiting.tokens == 0
    assert waiting.has_room("a")


@given(lengths=lists(integers(1, 128), min_size=1, max_size=100))
def test_in_a_flow_the_oldest_always_goes_next_whatever_the_lengths(lengths: list[int]) -> None:
    """No starvation: a row with n older rows of its flow before it is served by the n + 1st batch at the latest."""
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    rows = [Row(length) for length in lengths]
    add_each(waiting, rows)
    left = list(rows)
    while left:
        batch = take(waiting)
        assert left[0] in batch
        left = [row for row in left if row not in batch]


@given(noisy=integers(20, 200), lengths=lists(integers(4, 128), min_size=1, max_size=5))
def test_a_noisy_model_delays_the_rows_of_another_by_one_batch_each(noisy: int, lengths: list[int]) -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    add_each(waiting, (Row(20, "noisy") for _ in range(noisy)))
    take(waiting)
    quiet = [Row(length, "quiet") for length in lengths]
    add_each(waiting, quiet)
    served: list[Row] = []
    for _ in range(1 + sum(-(-max(length, 256) // 128) for length in lengths)):
        served += take(waiting)
    assert set(quiet) <= set(served)


def test_a_row_of_high_priority_goes_before_all_that_came_earlier() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    add_each(waiting, (Row(100) for _ in range(10)))
    take(waiting)
    urgent = Row(10, priority=1)
    waiting.add([urgent])
    assert urgent in take(waiting)


def test_rows_of_low_priority_are_served_in_the_end_however_much_others_send() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    patient = Row(100, priority=3)
    add_each(waiting, (Row(100) for _ in range(2)))
    waiting.add([patient])
    batches = 0
    while patient not in take(waiting, 100):
        add_each(waiting, (Row(100) for _ in range(2)))
        batches += 1
    assert batches <= 4


def test_only_who_is_near_the_front_rides_along() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    lead, near, far = Row(10), Row(10), Row(10)
    fillers = [Row(40) for _ in range(PLAN_AHEAD_BATCHES * 64 // 40 + 1)]
    add_each(waiting, [lead, near, *fillers, far])
    assert take(waiting, 64) == [lead, near], "the last one would have fitted as well"


def test_a_full_queue_refuses_one_model_and_takes_another() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=900)
    while waiting.has_room("noisy"):
        waiting.add([Row(10, "noisy")])
    assert waiting.tokens == 910
    assert waiting.has_room("quiet")
    waiting.add([Row(10, "quiet")])
    assert waiting.tokens_before("quiet") == 20, "its own, and as much of the other model's"


@given(lengths=lists(integers(1, 128), max_size=100), limit=integers(1, 2000))
def test_who_may_join_depends_on_what_waits_alone(lengths: list[int], limit: int) -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=limit)
    for length in lengths:
        assert waiting.has_room("tickets") == (waiting.tokens <= limit)
        if waiting.has_room("tickets"):
            waiting.add([Row(length)])
    assert waiting.tokens <= limit + 128


def test_a_large_request_fills_the_queue_for_large_ones_only() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=1000)
    large = object()
    waiting.add(Row(100, request=large) for _ in range(100))
    assert waiting.has_room("tickets"), "its texts take turns with those of others"
    assert waiting.has_room("orders")
    assert waiting.tokens_before("tickets") == LARGE_TOKENS
    assert not waiting.has_room("tickets", request_tokens=LARGE_TOKENS + 1)
    assert waiting.has_room("orders", request_tokens=LARGE_TOKENS + 1)
    add_each(waiting, (Row(100) for _ in range(5)))
    assert not waiting.has_room("tickets"), "small ones fill it up as ever"


def test_rows_that_gave_up_are_not_kept_until_their_turn_would_have_come() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    add_each(waiting, (Row(10) for _ in range(3)))
    for _ in range(20):
        impatient = object()
        rows = [Row(128, request=impatient) for _ in range(1000)]
        waiting.add(rows)
        waiting.remove(rows)
    (flow,) = waiting._flows.values()
    assert len(flow.turns) <= 2 * 3 + PLAN_AHEAD_ROWS
    assert len(take(waiting)) == 3


def test_however_many_models_ask_the_queue_is_bounded() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=100)
    models = 0
    while waiting.has_room(f"model {models}"):
        waiting.add([Row(100, f"model {models}")])
        models += 1
    assert waiting.tokens <= MOST_TIMES_LIMIT * 100 + 100


def test_however_many_models_ask_much_the_queue_is_bounded() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=1000)
    models = 0
    while waiting.has_room(f"model {models}", request_tokens=10_000):
        large = object()
        waiting.add(Row(100, f"model {models}", request=large) for _ in range(100))
        models += 1
    assert waiting.tokens <= MOST_TIMES_LIMIT * 1000 + 10_000
    assert waiting.has_room("small"), "small ones are served beside them"


def test_a_request_of_one_text_does_not_wait_behind_one_of_a_thousand() -> None:
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    large = object()
    waiting.add(Row(20, request=large) for _ in range(1000))
    take(waiting)
    small = Row(100)
    waiting.add([small])
    batches = [take(waiting) for _ in range(3)]
    assert any(small in batch for batch in batches)


@settings(deadline=None)
@given(stream=lists(integers(1, 128), min_size=30, max_size=60), rows=integers(2, 12))
def test_a_large_request_goes_on_however_many_small_ones_come(stream: list[int], rows: int) -> None:
    """One new request comes with each batch, and may be tiny. A row of the large one fills a batch, so the small ones
    that wait grow by one only where it is served: with it, rows + 1 requests wait at most. Each batch costs 9 tokens or
    more, 8 of them overhead, and moves virtual time by its share of that; the last turn comes at 128 * (rows - 1).
    From then on whoever comes is behind it, and at most 2 * rows are before it."""
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    large = object()
    waiting.add(Row(128, request=large) for _ in range(rows))
    batches = 0
    while any(row.request is large for row in waiting._rows):
        waiting.add([Row(stream[batches % len(stream)])])
        take(waiting, 128)
        batches += 1
        assert batches <= 128 * (rows - 1) * (rows + 1) / 9 + 2 * rows + 1


def test_priorities_are_those_of_the_protocol() -> None:
    assert [priority_class(p) for p in (0, 1, 2, 3, 17)] == [2, 1, 2, 3, 3]


def test_a_model_that_comes_and_goes_is_charged_for_what_it_had() -> None:
    """Two models of low priority that empty and return at once must not crowd out one of high priority."""
    waiting: Waiting[Row] = Waiting(limit_tokens=10**6)
    for _ in range(200):
        waiting.add([Row(100, "busy", priority=1)])
    served = {"busy": 0, "a": 0, "b": 0}
    for _ in range(60):
        for model in ("a", "b"):
            if not waiting.tokens_before(model):
                waiting.add([Row(250, model, priority=3)])
        for row in take(waiting):
            served[row.model] += row.length_tokens
    assert served["busy"] > 3 * (served["a"] + served["b"])

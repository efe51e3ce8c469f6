import asyncio
import threading
from collections import Counter

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from engine.adapter import read_adapter
from engine.classification import softmax
from engine.engine import WIDE, Engine
from engine.modality import EncodedRow
from engine.packing import RunCost
from server.batching import ALONE_AFTER, INLINE_ALONE_S, Ask, BadAnswer, Batcher, Callers
from server.metrics import ServerMetrics
from store.errors import Busy
from tests.waiting import until


def row(tokens: int) -> EncodedRow:
    return EncodedRow(np.full(tokens, 2000 + tokens, np.int64), 0)


@pytest.fixture(scope="module")
def engine(tiny, make_adapter) -> Engine:
    loaded = Engine(tiny.bundle, slots=2, lanes=2)
    loaded.bank.load("a", read_adapter(make_adapter(tiny), tiny.spec))
    return loaded


CLASSES = 3


class Bench:
    """A batcher over the real engine whose batches wait for `gate`; it notes what ran together, and where."""

    def __init__(
        self,
        engine: Engine,
        *,
        budget_tokens: int = 64,
        queue_tokens: int = 1000,
        lanes: int = 1,
        overhead: float = 1e6,
    ) -> None:
        self.metrics = ServerMetrics(CollectorRegistry())
        self.gate, self.running = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []
        self.ran_on: list[int] = []
        self.ran_in: list[str] = []
        """Names of the threads."""
        self.released: Counter[str] = Counter()
        self.fail_on: int | None = None
        """Length of a row that makes its batch fail."""
        self._engine = engine
        self.lanes = lanes
        self.run_costs = {p: RunCost(overhead, 1000.0) for p in ("fp32", "int8")}
        self.batcher = Batcher(
            self,  # type: ignore[arg-type]  # the engine, with a gate before it
            budget_tokens=budget_tokens,
            queue_tokens=queue_tokens,
            metrics=self.metrics,
            base="tiny",
            callers=Callers(),
        )
        self.sketch = engine.sketch

    def run(self, rows, slots, *, precision, lane):
        self.running.set()
        assert self.gate.wait(30)
        self.batches.append([r.length_tokens for r in rows])
        self.ran_on.append(lane)
        self.ran_in.append(threading.current_thread().name)
        if self.fail_on in self.batches[-1]:
            raise RuntimeError("out of memory")
        known = precision if precision in self._engine.precisions else "fp32"
        return self._engine.run(rows, slots, precision=known, lane=lane)

    def submit(
        self, name: str, *lengths: int, model: str = "tickets", precision="fp32", priority: int = 0, caller=None
    ):
        ask = Ask([row(n) for n in lengths], 0, CLASSES, model, precision, priority, caller)
        return self.batcher.submit(ask, lambda: self.released.update([name]))

    @property
    def waiting_tokens(self) -> float:
        return self.metrics.registry.get_sample_value("driftgate_queue_tokens", {"base": "tiny"}) or 0.0


async def started(bench: Bench) -> "asyncio.Task[object]":
    """One row that runs and waits at the gate, so that all that follow it queue up."""
    task = asyncio.create_task(bench.submit("first", 5))
    await asyncio.to_thread(bench.running.wait, 30)
    return task


def bench_test(engine, body, **options):
    """Run `body(bench)` on an event loop, and end the batcher whatever comes of it."""
    bench = Bench(engine, **options)

    async def main():
        try:
            async with asyncio.timeout(30):
                return await body(bench)
        finally:
            bench.gate.set()
            await asyncio.to_thread(bench.batcher.close)

    result = asyncio.run(main())
    assert not bench.batcher.alive
    return bench, result


def test_results_come_in_the_order_of_the_rows_however_they_were_packed(engine):
    lengths = [9, 3, 30, 4, 9, 31, 3]

    async def body(bench):
        bench.gate.set()
        return await bench.submit("a", *lengths)

    bench, results = bench_test(engine, body, budget_tokens=40)
    assert len(bench.batches) > 1
    for n, result in zip(lengths, results, strict=True):
        alone = softmax(engine.run([row(n)], [0]).logits[0, :CLASSES])
        np.testing.assert_allclose(result.probabilities, alone, atol=1e-5)
    assert bench.released == {"a": 1}


def test_rows_of_several_requests_ride_in_one_batch(engine):
    async def body(bench):
        first = await started(bench)
        others = [asyncio.create_task(bench.submit(name, 6, 6)) for name in "abc"]
        await asyncio.sleep(0)
        bench.gate.set()
        await asyncio.gather(first, *others)

    bench, _ = bench_test(engine, body)
    assert bench.batches == [[5], [6] * 6]
    assert bench.released == {"first": 1, "a": 1, "b": 1, "c": 1}


def test_the_oldest_row_is_served_next_whatever_its_length(engine):
    async def body(bench):
        first = await started(bench)
        tasks = [asyncio.create_task(bench.submit("old", 60))]
        tasks += [asyncio.create_task(bench.submit("short", 4)) for _ in range(20)]
        await asyncio.sleep(0)
        bench.gate.set()
        await asyncio.gather(first, *tasks)

    bench, _ = bench_test(engine, body)
    assert bench.batches[1] == [60]


def test_a_full_queue_refuses_says_how_long_it_will_take_and_gives_the_lease_back(engine):
    async def body(bench):
        first = await started(bench)
        waits = [asyncio.create_task(bench.submit("waits", 1000)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="2000 tokens wait already and the queue holds 1500") as refused:
            await bench.submit("refused", 6)
        assert refused.value.retry_after_s == 2, "2000 tokens at 1000 a second"
        assert bench.released == {"refused": 1}
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        bench.gate.set()
        await asyncio.gather(first, bench.submit("fits", 5))

    bench, _ = bench_test(engine, body, queue_tokens=1500)
    assert bench.waiting_tokens == 0


def test_a_model_that_fills_the_queue_leaves_room_for_another(engine):
    async def body(bench):
        first = await started(bench)
        noisy, refused = [], 0
        for _ in range(60):
            noisy.append(asyncio.create_task(bench.submit("noisy", 20)))
            await asyncio.sleep(0)
            refused += noisy[-1].done()
        assert refused > 0
        quiet = asyncio.create_task(bench.submit("quiet", 20, model="other"))
        await asyncio.sleep(0)
        assert not quiet.done(), "it was refused"
        bench.gate.set()
        await asyncio.gather(first, quiet, *noisy, return_exceptions=True)

    bench, _ = bench_test(engine, body, queue_tokens=500)
    assert bench.released["quiet"] == 1


def test_a_request_larger_than_the_whole_queue_is_served_when_nobody_waits(engine):
    async def body(bench):
        bench.gate.set()
        return await bench.submit("large", *([10] * 30))

    _, results = bench_test(engine, body, queue_tokens=20)
    assert len(results) == 30


def test_a_request_that_is_given_up_leaves_the_queue_and_frees_its_slot(engine):
    async def body(bench):
        first = await started(bench)
        gone, stays = (asyncio.create_task(bench.submit(name, 7, 7)) for name in ("gone", "stays"))
        await asyncio.sleep(0)
        assert bench.waiting_tokens == 28
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert bench.waiting_tokens == 14
        assert bench.released == {"gone": 1}
        bench.gate.set()
        await asyncio.gather(first, stays)

    bench, _ = bench_test(engine, body)
    assert bench.batches == [[5], [7, 7]]


def test_a_slot_is_held_until_the_batch_that_reads_it_is_over_though_nobody_waits_for_it(engine):
    async def body(bench):
        first = await started(bench)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert bench.released == {}, "the engine still reads the slot"
        bench.gate.set()
        await bench.submit("next", 5)
        assert bench.released == {"first": 1, "next": 1}

    bench_test(engine, body)


def test_a_row_that_fails_answers_its_caller_and_the_others_of_its_batch_are_served(engine):
    async def body(bench):
        first = await started(bench)
        bench.fail_on = 7
        good, bad = (asyncio.create_task(bench.submit(name, *rows)) for name, rows in (("good", (6, 6)), ("bad", (7,))))
        await asyncio.sleep(0)
        bench.gate.set()
        with pytest.raises(RuntimeError, match="out of memory"):
            await bad
        assert len(await good) == 2
        await first
        return await bench.submit("next", 5)

    bench, results = bench_test(engine, body)
    assert len(results) == 1
    assert bench.batches[1] == [6, 6, 7], "they had been one batch"
    assert bench.released == {"first": 1, "good": 1, "bad": 1, "next": 1}


def test_a_row_whose_answer_overflows_is_refused_alone(engine, tiny, make_adapter):
    adapter = read_adapter(make_adapter(tiny, seed=9), tiny.spec)
    adapter.arrays["head_weight"][:] = 3e38
    adapter.arrays["head_weight"][:, 1] = -3e38
    engine.bank.load("overflowing", adapter)
    slot = engine.bank.lease("overflowing")

    async def body(bench):
        bench.gate.set()
        ask = Ask([row(5)], slot, CLASSES, "tickets")
        with pytest.raises(BadAnswer, match="overflow"):
            await bench.batcher.submit(ask, lambda: bench.released.update(["bad"]))

    bench_test(engine, body)


def test_in_int8_an_adapter_that_overflows_spoils_no_other_answer(tiny, make_adapter):
    """The rows of a batch share the scale of each activation, so that one infinite value makes all of them NaN."""
    engine = Engine(tiny.bundle, slots=3, lanes=1, precisions=("fp32", "int8"))
    for name, adapter in (("good", make_adapter(tiny, seed=8)), ("bad", make_adapter(tiny, seed=9))):
        packed = read_adapter(adapter, tiny.spec)
        if name == "bad":
            for array in packed.arrays:
                packed.arrays[array][:] = 1e30
        engine.bank.load(name, packed)
    good, bad = engine.bank.lease("good"), engine.bank.lease("bad")

    async def body(bench):
        first = await started(bench)
        asks = [Ask([row(6)], slot, CLASSES, "tickets", "int8") for slot in (good, bad, good)]
        tasks = [asyncio.create_task(bench.batcher.submit(ask, lambda: None)) for ask in asks]
        await asyncio.sleep(0)
        bench.gate.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    bench, (one, spoiling, other) = bench_test(engine, body)
    assert bench.batches[1] == [6, 6, 6], "they had been one batch"
    assert isinstance(spoiling, BadAnswer)
    for answer in (one, other):
        assert np.isfinite(answer[0].probabilities).all()


def test_rows_of_different_precisions_never_share_a_batch(engine):
    async def body(bench):
        first = await started(bench)
        tasks = [asyncio.create_task(bench.submit(str(i), 6, precision=("fp32", "int8")[i % 2])) for i in range(6)]
        await asyncio.sleep(0)
        bench.gate.set()
        await asyncio.gather(first, *tasks)

    bench, _ = bench_test(engine, body)
    assert bench.batches == [[5], [6, 6, 6], [6, 6, 6]]


def test_work_is_shared_among_idle_lanes(engine):
    async def body(bench):
        task = asyncio.create_task(bench.submit("a", *([8] * 6)))
        await asyncio.to_thread(until, lambda: bench.running.is_set() and bench.waiting_tokens == 0)
        bench.gate.set()
        await task

    bench, _ = bench_test(engine, body, lanes=2, budget_tokens=256)
    assert sorted(map(len, bench.batches)) == [3, 3]
    assert WIDE not in bench.ran_on


def test_a_lone_caller_gets_all_cores_until_another_comes(engine):
    async def body(bench):
        bench.gate.set()
        for _ in range(ALONE_AFTER + 2):
            await bench.submit("alone", 5)
        assert bench.ran_on == [*[lane for lane in bench.ran_on[: ALONE_AFTER - 1] if lane != WIDE], *[WIDE] * 3]
        bench.gate.clear()
        bench.running.clear()
        first = await started(bench)
        second = asyncio.create_task(bench.submit("second", 5))
        await asyncio.sleep(0)
        bench.gate.set()
        await asyncio.gather(first, second)
        await bench.submit("third", 5)

    bench, _ = bench_test(engine, body, lanes=2)
    assert bench.ran_on[-1] != WIDE, "it is not alone any more"


SHORT_RUN = INLINE_ALONE_S / 2 * 1000
"""Overhead in tokens at the bench's 1000 tokens/s: a hand-over is worth it, unless nobody else is there."""


def asked_by(*callers, overhead: float = SHORT_RUN, engine):
    """Where the requests ran, one after the other."""

    async def body(bench):
        bench.gate.set()
        for caller in callers:
            await bench.submit("one", 3, caller=caller)

    bench, _ = bench_test(engine, body, lanes=2, overhead=overhead)
    return bench


def test_the_event_loop_itself_runs_what_a_lone_caller_asks_on_all_cores(engine):
    bench = asked_by(*[("127.0.0.1", 1)] * (ALONE_AFTER + 3), engine=engine)
    in_threads = bench.ran_in[:ALONE_AFTER]
    assert all(name.startswith("lane-") for name in in_threads)
    assert set(bench.ran_in[ALONE_AFTER:]) == {threading.current_thread().name}
    assert set(bench.ran_on[ALONE_AFTER:]) == {WIDE}


def test_callers_who_take_turns_or_are_not_known_or_ask_much_never_hold_the_event_loop(engine):
    two = asked_by(*[("127.0.0.1", 1), ("127.0.0.1", 2)] * (ALONE_AFTER + 3), engine=engine)
    unknown = asked_by(*[None] * (ALONE_AFTER + 3), engine=engine)
    much = asked_by(*[("127.0.0.1", 1)] * (ALONE_AFTER + 3), overhead=2 * INLINE_ALONE_S * 1000, engine=engine)
    for bench in (two, unknown, much):
        assert all(name.startswith("lane-") for name in bench.ran_in)


def test_another_caller_takes_the_event_loop_from_the_one_that_was_alone(engine):
    bench = asked_by(*[("127.0.0.1", 1)] * (ALONE_AFTER + 2), ("127.0.0.1", 2), ("127.0.0.1", 1), engine=engine)
    assert bench.ran_in[-3] == threading.current_thread().name
    assert all(name.startswith("lane-") for name in bench.ran_in[-2:])


def test_one_other_request_and_the_last_caller_is_not_the_only_one_any_more():
    callers = Callers()
    for _ in range(ALONE_AFTER + 1):
        callers.note("a")
    assert callers.only_one
    callers.note("b")
    assert not callers.only_one


def test_closing_finishes_what_waits(engine):
    async def body(bench):
        first = await started(bench)
        waits = asyncio.create_task(bench.submit("waits", 7))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(bench.batcher.close))
        bench.gate.set()
        await asyncio.gather(first, waits, closing)

    bench_test(engine, body)


def test_a_thousand_requests_at_once_lose_nothing(engine):
    async def body(bench):
        bench.gate.set()
        return await asyncio.gather(*(bench.submit(str(i), 3 + i % 20, 3 + i % 7) for i in range(1000)))

    bench, results = bench_test(engine, body, budget_tokens=512, queue_tokens=10**6)
    assert all(len(result) == 2 for result in results)
    assert bench.released == {str(i): 1 for i in range(1000)}
    assert sum(map(len, bench.batches)) == 2000
    assert all(max(batch) * len(batch) <= 512 for batch in bench.batches)
    assert bench.waiting_tokens == 0

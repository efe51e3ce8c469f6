import asyncio
import threading
from collections import Counter

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from engine.adapter import read_adapter
from engine.engine import Engine
from engine.modality import EncodedRow
from server.batching import Batcher
from server.metrics import ServerMetrics
from store.errors import Busy


def row(tokens: int) -> EncodedRow:
    return EncodedRow(np.full(tokens, 2000 + tokens, np.int64), 0)


@pytest.fixture(scope="module")
def engine(tiny, make_adapter) -> Engine:
    loaded = Engine(tiny.bundle, slots=2)
    loaded.bank.load("a", read_adapter(make_adapter(tiny), tiny.spec))
    return loaded


class Bench:
    """A batcher over the real engine whose batches wait for `gate`; it notes what ran together."""

    def __init__(self, engine: Engine, *, budget_tokens: int = 64, queue_tokens: int = 1000) -> None:
        self.metrics = ServerMetrics(CollectorRegistry())
        self.gate, self.running = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []
        self.released: Counter[str] = Counter()
        self.fail = False
        self._engine = engine
        self.batcher = Batcher(
            self,  # type: ignore[arg-type]  # the engine, with a gate before it
            budget_tokens=budget_tokens,
            queue_tokens=queue_tokens,
            metrics=self.metrics,
        )
        self.sketch = engine.sketch

    def run(self, rows, slots):
        self.running.set()
        assert self.gate.wait(30)
        self.batches.append([r.length_tokens for r in rows])
        if self.fail:
            raise RuntimeError("out of memory")
        return self._engine.run(rows, slots)

    def submit(self, name: str, *lengths: int):
        return self.batcher.submit([row(n) for n in lengths], 0, lambda: self.released.update([name]))

    @property
    def waiting_tokens(self) -> float:
        return self.metrics.registry.get_sample_value("driftgate_queue_tokens") or 0.0


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
        np.testing.assert_allclose(result.logits, engine.run([row(n)], [0]).logits[0], atol=1e-5)
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


def test_a_full_queue_refuses_and_gives_the_lease_back(engine):
    async def body(bench):
        first = await started(bench)
        waits = asyncio.create_task(bench.submit("waits", 15))
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="15 tokens wait already and the queue holds 20"):
            await bench.submit("refused", 6)
        assert bench.released == {"refused": 1}
        fits = asyncio.create_task(bench.submit("fits", 5))
        await asyncio.sleep(0)
        assert bench.waiting_tokens == 20
        bench.gate.set()
        await asyncio.gather(first, waits, fits)

    bench, _ = bench_test(engine, body, queue_tokens=20)
    assert bench.waiting_tokens == 0


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


def test_a_batch_that_fails_answers_its_callers_and_the_next_one_runs(engine):
    async def body(bench):
        bench.fail = True
        bench.gate.set()
        with pytest.raises(RuntimeError, match="out of memory"):
            await bench.submit("a", 5, 50, 60)
        bench.fail = False
        return await bench.submit("b", 5)

    bench, results = bench_test(engine, body)
    assert len(results) == 1
    assert bench.released == {"a": 1, "b": 1}


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

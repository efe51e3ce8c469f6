import asyncio

import numpy as np
import pytest

from cli.load.open import arrival_times, run_open
from tests.cli.load.tiny_server import Reply, echo, post, running

BODIES = [b"%d" % n for n in range(5)]
REQUESTS = [post(body) for body in BODIES]


def is_echo(number: int, body: bytes) -> bool:
    return body == BODIES[number]


def test_arrivals_are_a_poisson_process_of_the_rate_asked_for():
    times = arrival_times(500, 200, poisson=True, seed=3)
    assert abs(len(times) - 100_000) < 4 * 100_000**0.5
    gaps = np.diff(times)
    assert (gaps >= 0).all()
    assert gaps.mean() == pytest.approx(1 / 500, rel=0.02)
    assert gaps.std() == pytest.approx(1 / 500, rel=0.02), "the gaps of a Poisson process vary as much as they last"
    assert np.array_equal(times, arrival_times(500, 200, poisson=True, seed=3))


def test_fixed_arrivals_are_evenly_spaced():
    assert arrival_times(4, 1, poisson=False, seed=0).tolist() == [0, 0.25, 0.5, 0.75]


def test_arrivals_within_a_tick_are_sent_together_and_their_latency_counts_from_when_they_were_due():
    with running(echo) as server:
        result = run_open(
            server.address,
            REQUESTS,
            rate_per_s=400,
            seconds=0.5,
            connections=50,
            poisson=False,
            tick_s=0.1,
            check=is_echo,
        )
    assert result.by_status == {200: 200}
    assert result.percentile_s(75) > 0.05, "those due early in a tick wait for its end"


def test_every_arrival_is_asked_once_and_answered():
    with running(echo) as server:
        result = run_open(
            server.address, REQUESTS, rate_per_s=400, seconds=0.5, connections=4, poisson=False, check=is_echo
        )
    assert len(server.bodies) == 200
    assert result.by_status == {200: 200}
    assert result.errors == 0
    assert server.connections == 4
    assert result.lag_s < 0.5


def test_waiting_for_a_stalled_server_counts_from_when_the_request_should_have_been_sent():
    stall_s = 0.4

    async def stall_at_first(number: int, body: bytes) -> Reply:
        if number == 0:
            await asyncio.sleep(stall_s)  # the very thing that is measured
        return Reply(body)

    with running(stall_at_first) as server:
        result = run_open(server.address, REQUESTS, rate_per_s=100, seconds=0.5, connections=1, poisson=False)
    late = (result.latencies_s > stall_s / 2).sum()
    assert late >= 15, "a closed loop would have seen one slow answer; 20 arrivals waited that long"


def test_arrivals_beyond_the_room_to_wait_are_counted_as_unsent():
    async def never(number: int, body: bytes) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    with running(never) as server:
        result = run_open(
            server.address,
            REQUESTS,
            rate_per_s=200,
            seconds=0.2,
            connections=2,
            poisson=False,
            max_waiting=10,
            grace_s=0.1,
        )
    assert len(server.bodies) == 2
    assert result.failures == 12, "two in flight, ten waiting"
    assert result.unsent == 28


def test_a_hang_up_is_a_failure_and_the_connection_is_made_again():
    async def drop_some(number: int, body: bytes) -> Reply:
        return Reply(body, hang_up=number % 10 == 9)

    with running(drop_some) as server:
        result = run_open(
            server.address, REQUESTS, rate_per_s=200, seconds=0.5, connections=2, poisson=False, check=is_echo
        )
    assert result.failures == 10
    assert result.by_status == {200: 90}


def test_a_server_that_closes_politely_costs_no_failure():
    async def only_once(number: int, body: bytes) -> Reply:
        return Reply(body, last=True)

    with running(only_once) as server:
        result = run_open(server.address, REQUESTS, rate_per_s=100, seconds=0.3, connections=2, poisson=False)
    assert result.by_status == {200: 30}
    assert result.errors == 0

import asyncio

import pytest

from cli.load.closed import run_closed
from cli.load.connection import Address
from tests.cli.load.tiny_server import Reply, echo, post, running

BODIES = [b'{"n": %d}' % n for n in range(7)]
REQUESTS = [post(body) for body in BODIES]


def is_echo(number: int, body: bytes) -> bool:
    return body == BODIES[number]


def test_every_answer_is_counted_timed_and_checked_against_its_own_request():
    with running(echo) as server:
        result = run_closed(server.address, REQUESTS, clients=5, seconds=0.3, check=is_echo)
    assert result.by_status == {200: len(result.latencies_s)}
    assert len(server.bodies) == len(result.latencies_s)
    assert set(server.bodies) == set(BODIES)
    assert server.connections == 5
    assert (result.wrong, result.failures, result.unsent, result.errors) == (0, 0, 0, 0)
    assert result.per_s == pytest.approx(result.in_window / 0.3)
    assert 0 < result.percentile_ms(50) <= result.percentile_ms(99) < 300
    assert len(result.latencies_s) - 5 <= result.in_window <= len(result.latencies_s)


def test_a_wrong_answer_is_counted_as_wrong():
    async def lie_once(number: int, body: bytes) -> Reply:
        return Reply(b'{"n": 99}' if number == 3 else body)

    with running(lie_once) as server:
        result = run_closed(server.address, REQUESTS, clients=2, seconds=0.1, check=is_echo)
    assert (result.wrong, result.failures, result.errors) == (1, 0, 1)


def test_a_refusal_is_counted_by_its_status_and_has_no_latency():
    async def refuse_every_second(number: int, body: bytes) -> Reply:
        return Reply(body, status=429 if number % 2 else 200)

    with running(refuse_every_second) as server:
        result = run_closed(server.address, REQUESTS, clients=1, seconds=0.1, check=is_echo)
    assert set(result.by_status) == {200, 429}
    assert len(result.latencies_s) == result.by_status[200]
    assert result.errors == result.by_status[429]


@pytest.mark.parametrize("pieces", [2, 7, 60])
def test_an_answer_may_come_in_pieces(pieces):
    async def slowly(number: int, body: bytes) -> Reply:
        return Reply(body, pieces=pieces)

    with running(slowly) as server:
        result = run_closed(server.address, REQUESTS, clients=3, seconds=0.1, check=is_echo)
    assert result.by_status[200] > 0
    assert result.errors == 0


def test_a_large_answer_is_whole():
    big = b"x" * 3_000_000

    async def a_lot(number: int, body: bytes) -> Reply:
        return Reply(big)

    with running(a_lot) as server:
        result = run_closed(server.address, REQUESTS, clients=2, seconds=0.1, check=lambda _, body: body == big)
    assert result.by_status[200] > 0
    assert result.errors == 0


def test_a_server_that_closes_politely_costs_no_failure():
    async def only_once(number: int, body: bytes) -> Reply:
        return Reply(body, last=True)

    with running(only_once) as server:
        result = run_closed(server.address, REQUESTS, clients=2, seconds=0.2, check=is_echo)
    assert result.errors == 0
    assert server.connections >= len(result.latencies_s) > 2


def test_a_hang_up_is_a_failure_and_the_client_goes_on():
    async def drop_some(number: int, body: bytes) -> Reply:
        return Reply(body, hang_up=number % 10 == 9)

    with running(drop_some) as server:
        result = run_closed(server.address, REQUESTS, clients=3, seconds=0.2, check=is_echo)
    assert result.failures == len(server.bodies) // 10 > 0
    assert result.by_status[200] == len(server.bodies) - result.failures


@pytest.mark.parametrize("pieces", [1, 3, 40])
def test_a_chunked_answer_is_read_whole(pieces):
    async def chunked(number: int, body: bytes) -> Reply:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        return Reply(
            raw=head + b"3\r\n" + body[:3] + b"\r\n%x\r\n" % (len(body) - 3) + body[3:] + b"\r\n0\r\n\r\n",
            pieces=pieces,
        )

    with running(chunked) as server:
        result = run_closed(server.address, REQUESTS, clients=2, seconds=0.1, check=is_echo)
    assert result.by_status[200] > 0
    assert result.errors == 0


def test_an_answer_that_does_not_say_where_it_ends_is_a_failure_and_no_endless_wait():
    async def endless(number: int, body: bytes) -> Reply:
        return Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + body)

    with running(endless) as server:
        result = run_closed(server.address, REQUESTS, clients=1, seconds=0.05)
    assert result.by_status == {}
    assert result.failures == len(server.bodies) > 0


def test_what_is_not_answered_within_the_grace_is_a_failure():
    async def never(number: int, body: bytes) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    with running(never) as server:
        result = run_closed(server.address, REQUESTS, clients=4, seconds=0.05, grace_s=0.05)
    assert (result.failures, result.in_window) == (4, 0)
    assert result.percentile_ms(50) != result.percentile_ms(50), "no answer, no percentile"


def test_the_warm_up_is_load_that_is_not_counted():
    with running(echo) as server:
        result = run_closed(server.address, REQUESTS, clients=1, seconds=0.1, warm_up_s=0.2)
    assert 0 < sum(result.by_status.values()) < len(server.bodies)


def test_a_server_that_goes_away_ends_no_load():
    async def first_few(number: int, body: bytes) -> Reply:
        return Reply(body, hang_up=number >= 5)

    with running(first_few) as server:
        result = run_closed(server.address, REQUESTS, clients=1, seconds=0.2)
    assert result.by_status == {200: 5}
    assert result.failures > 0


def test_nobody_listening_is_an_error_at_once():
    with running(echo) as server:
        address = server.address
    with pytest.raises(OSError, match=r"refused|Connect"):
        run_closed(Address(address.host, address.port), REQUESTS, clients=3, seconds=1)

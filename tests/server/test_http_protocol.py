"""Heads of any size and of no end, sent over a real socket."""

import pytest

from server.http_protocol import MOST_HEAD_BYTES

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
END = b"Connection: close\r\n\r\n"


@pytest.mark.parametrize("line", [b"a: b\r\n", b"a" * 1000, b"a: " + b"b" * 1000])
def test_a_head_without_end_is_refused(server, line):
    answer = b""
    with server.connect() as connection:
        connection.sendall(HEALTH)
        try:
            for _ in range(100 * MOST_HEAD_BYTES // len(line)):
                connection.sendall(line)
        except OSError:  # it has heard enough
            pass
        try:
            answer = connection.recv(65536)
        except ConnectionResetError:  # what we sent after its answer was on its way
            return
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


def test_a_large_head_within_the_bound_is_answered(server):
    filler = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(50))
    assert server.raw(HEALTH + filler + END).startswith(b"HTTP/1.1 200 ")


def test_a_head_that_is_too_large_says_so(server):
    filler = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(MOST_HEAD_BYTES // 1000))
    answer = server.raw(HEALTH + filler)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"may have 65536 bytes" in answer


def test_a_whole_head_that_is_too_large_is_refused_even_if_it_comes_at_once(server):
    filler = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(100))
    assert server.raw(HEALTH + filler + END).startswith(b"HTTP/1.1 431 ")
    body = b'{"inputs": ["parcel"]}'
    post = b"POST /v1/models/tickets/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    assert server.raw(post + filler + b"\r\n" + body).startswith(b"HTTP/1.1 431 ")


def test_trailers_are_passed_over_and_end_some_time(server):
    chunked = HEALTH + b"Transfer-Encoding: chunked\r\n"
    trailers = b"0\r\na: b\r\nc: d\r\n\r\n"
    assert server.raw(chunked + b"Connection: close\r\n\r\n" + trailers).startswith(b"HTTP/1.1 200 ")
    with server.connect() as connection:
        connection.sendall(chunked + b"\r\n0\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(b"a: b\r\n" * 10_000_000)


def test_bodies_are_not_counted_as_heads_and_requests_may_follow_each_other(server):
    body = b'{"inputs": ["' + b"parcel " * 12_000 + b'"], "truncate": true}'
    post = b"POST /v1/models/tickets/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert len(body) > MOST_HEAD_BYTES
    answers = server.raw((post + body) * 3 + HEALTH + END)
    assert answers.count(b"HTTP/1.1 200 ") == 4


def test_a_head_that_does_not_come_in_time_ends_the_connection(start, monkeypatch):
    monkeypatch.setattr("server.http_protocol.HEAD_TIMEOUT_S", 0.2)
    server = start()
    assert server.raw(HEALTH).startswith(b"HTTP/1.1 408 ")
    assert server.raw(b"") == b"", "nobody said anything"
    with server.connect() as connection:  # the second request of a connection
        connection.sendall(HEALTH + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /hea")
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"HTTP/1.1 408 " in rest


def test_connections_rest_longer_than_balancers_keep_them(server):
    assert server.uvicorn.config.timeout_keep_alive > 60


def test_a_body_that_nobody_reads_holds_no_connection(start):
    server = start()
    server.uvicorn.config.timeout_keep_alive = 1
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        answer = b""
        while not answer.endswith(b'{"status":"ok"}'):
            answer += connection.recv(65536)
        connection.sendall(b"a")
        assert connection.recv(65536) == b""

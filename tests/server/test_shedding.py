"""A full queue refuses at the door, over a real socket, with what the endpoint would have said."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from store.clock import utc_now
from store.keys import create_key
from tests.server.conftest import Server, Start
from tests.server.problems import problem
from tests.waiting import until

V1 = "/v1/models/tickets/predict"
V2 = "/v2/models/tickets/infer"
V2_BODY = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["where is it"]}]}
HEAD = f"POST {V1} HTTP/1.1\r\nHost: x\r\n".encode()
BODY = b'{"inputs": ["parcel"]}'
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@contextmanager
def full(server: Server, stuck_engine) -> Iterator[None]:
    """While the queue of `server` is full."""
    with stuck_engine(server) as engine:
        calls = engine.send(server, 1)
        engine.wait_until_running()
        calls += engine.send(server, 3)
        until(lambda: server.metric("driftgate_queue_tokens", base="tiny") == 21)
        yield
    assert {call.result(30).status_code for call in calls} == {200}


def past_the_door(server: Server, path: str, body: object) -> httpx.Response:
    """The endpoint's own answer: a body of unknown length is not refused at the door."""
    content = iter([json.dumps(body).encode()])
    return server.http.post(path, content=content, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(("path", "body"), [(V1, {"inputs": ["parcel"]}), (V2, V2_BODY)])
def test_the_door_says_what_the_endpoint_says(start: Start, stuck_engine, path, body):
    server = start(queue_tokens=16)
    with full(server, stuck_engine):
        before = server.metric("driftgate_requests_total", model="tickets", version="none", code="429")
        at_the_door, at_the_endpoint = server.post(path, body), past_the_door(server, path, body)
        after = server.metric("driftgate_requests_total", model="tickets", version="none", code="429")
        assert at_the_door.status_code == at_the_endpoint.status_code == 429
        assert at_the_door.content == at_the_endpoint.content
        assert _comparable(at_the_door) == _comparable(at_the_endpoint)
        assert after - before == 2
    assert server.post(path, body).status_code == 200


def _comparable(answer: httpx.Response) -> dict[str, str]:
    assert len(answer.headers["x-request-id"]) == 32
    return {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}


def test_it_does_not_wait_to_see_whether_the_body_makes_sense(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    with full(server, stuck_engine):
        refused = server.http.post(V1, content=b"{", headers={"X-Request-ID": "mine"})
        problem(refused, 429, "tokens wait already", "try again")
        assert refused.headers["x-request-id"] == "mine"
    problem(server.http.post(V1, content=b"{"), 400, "JSON")


@pytest.mark.parametrize("path", [V2.replace("/infer", "/versions/1/infer"), V2.replace("/infer", "/versions/x/infer")])
def test_a_version_that_is_there_is_refused_and_another_is_not_found(start: Start, stuck_engine, path):
    server = start(queue_tokens=16)
    with full(server, stuck_engine):
        assert server.post(path, V2_BODY).status_code == (429 if "/1/" in path else 404)


def test_a_connection_goes_on_after_a_refusal_though_its_body_came_in_pieces(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    with full(server, stuck_engine), server.connect() as connection:
        head = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)
        connection.sendall(head + BODY[:5])
        connection.sendall(BODY[5:] + head + BODY + HEALTH)
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"429", b"429", b"200"]


@pytest.mark.parametrize(
    "particular", [b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Content-Length: 100000\r\n"]
)
def test_whatever_is_out_of_the_ordinary_is_left_to_the_endpoint(start: Start, stuck_engine, particular):
    server = start(queue_tokens=16)
    body = BODY if b"Length" not in particular else BODY.ljust(100_000)
    length = b"" if b"Length" in particular else b"Content-Length: %d\r\n" % len(body)
    with full(server, stuck_engine):
        answers = server.raw(HEAD + particular + length + b"\r\n" + body + HEALTH)
    assert b"HTTP/1.1 429 " in answers
    assert b"tokens wait already" in answers


def test_who_may_not_ask_is_told_that_first(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    with full(server, stuck_engine):
        with server.database.write() as session:
            secret, _ = create_key(session, ["predict"], note="caller", now=utc_now())
        until(lambda: server.post(V1, {"inputs": ["parcel"]}).status_code == 401)
        allowed = server.post(V1, {"inputs": ["parcel"]}, headers={"X-API-Key": secret})
        problem(allowed, 429, "tokens wait already")


def test_a_server_that_leaves_refuses_at_once_what_is_still_coming_in(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    with full(server, stuck_engine), server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:5])
        until(lambda: any(getattr(c, "_shed", None) for c in server.uvicorn.server_state.connections))
        server.uvicorn.should_exit = True
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 429 ")

"""A full queue refuses at the door, over a real socket, with what the endpoint would have said."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from store.clock import utc_now
from store.keys import create_key
from tests.server.conftest import Server, Start
from tests.waiting import until

V1 = "/v1/models/tickets/predict"
V2 = "/v2/models/tickets/infer"
V2_BODY = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["where is it"]}]}
HEAD = f"POST {V1} HTTP/1.1\r\nHost: x\r\n".encode()
BODY = b'{"inputs": ["parcel"]}'
NO_JSON = b"{"
V2_VERSION = "/v2/models/tickets/versions/{}/infer"
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
        before = refused_so_far(server)
        at_the_door, at_the_endpoint = server.post(path, body), past_the_door(server, path, body)
        assert at_the_door.status_code == at_the_endpoint.status_code == 429
        assert at_the_door.content == at_the_endpoint.content
        assert _comparable(at_the_door) == _comparable(at_the_endpoint)
        assert refused_so_far(server) - before == 2
    assert server.post(path, body).status_code == 200


def refused_so_far(server: Server) -> float:
    return server.metric("driftgate_requests_total", model="tickets", version="none", code="429")


def _comparable(answer: httpx.Response) -> dict[str, str]:
    assert len(answer.headers["x-request-id"]) == 32
    return {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}


@pytest.mark.parametrize("path", [V1, V2, V2_VERSION.format(1)])
def test_the_door_does_not_look_at_the_body(start: Start, stuck_engine, path):
    server = start(queue_tokens=16)
    with full(server, stuck_engine):
        refused = server.http.post(path, content=NO_JSON, headers={"X-Request-ID": "mine"})
        assert refused.status_code == 429
        assert refused.headers["x-request-id"] == "mine"
    assert server.http.post(path, content=NO_JSON).status_code == 400


@pytest.mark.parametrize("version", ["9", "x", "1" * 5000])
def test_a_version_that_is_not_there_is_not_found_though_the_queue_is_full(start: Start, stuck_engine, version):
    server = start(queue_tokens=16)
    with full(server, stuck_engine):
        assert server.post(V2_VERSION.format(version), V2_BODY).status_code == 404


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 1\r\nExpect: 100-continue\r\n", NO_JSON),
        (b"Content-Length: 1\r\nConnection: close\r\n", NO_JSON),
        (b"Content-Length: 100000\r\n", NO_JSON.ljust(100_000)),
        (b"Transfer-Encoding: chunked\r\n", b"1\r\n{\r\n0\r\n\r\n"),
    ],
)
def test_whatever_is_out_of_the_ordinary_is_left_to_the_endpoint(start: Start, stuck_engine, head, body):
    server = start(queue_tokens=16)
    with full(server, stuck_engine):
        answers = server.raw(HEAD + head + b"\r\n" + body + HEALTH)
    assert b"HTTP/1.1 400 " in answers, "only who looks at the body finds that it is no JSON"
    assert (b"connection: close" in answers.partition(b"HTTP/1.1 200")[0]) == (b"Connection: close" in head)


def test_a_body_that_does_not_come_is_the_endpoints(start: Start, stuck_engine, monkeypatch):
    monkeypatch.setattr("server.http_protocol._HOLD_S", 0.1)
    monkeypatch.setattr("server.bodies.BODY_TIMEOUT_S", 0.2)
    server = start(queue_tokens=16)
    with full(server, stuck_engine), server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 50\r\n\r\n" + NO_JSON)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_queue_that_has_room_once_the_body_has_come_takes_the_request(start: Start, stuck_engine, monkeypatch):
    monkeypatch.setattr("server.http_protocol._HOLD_S", 30.0)
    server = start(queue_tokens=16)
    with server.connect() as connection:
        with full(server, stuck_engine):
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:5])
            until(lambda: any(c._held is not None for c in list(server.uvicorn.server_state.connections)))
        connection.sendall(BODY[5:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_server_that_leaves_answers_what_is_still_coming_in(start: Start, stuck_engine, monkeypatch):
    monkeypatch.setattr("server.http_protocol._HOLD_S", 30.0)
    server = start(queue_tokens=16)
    with full(server, stuck_engine), server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:5])
        until(lambda: any(c._held is not None for c in list(server.uvicorn.server_state.connections)))
        server.uvicorn.should_exit = True
        until(lambda: all(c._held is None for c in list(server.uvicorn.server_state.connections)))
        connection.sendall(BODY[5:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"connection: close" in answer


def test_a_connection_goes_on_after_a_refusal_and_only_one_a_read_is_made_at_the_door(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    bad = HEAD + b"Content-Length: 1\r\n\r\n" + NO_JSON
    with full(server, stuck_engine), server.connect() as connection:
        connection.sendall(bad)
        assert connection.recv(65536).startswith(b"HTTP/1.1 429 ")
        connection.sendall(bad + bad + HEALTH)
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"429", b"400", b"200"]


def test_an_answer_that_takes_longer_than_a_connection_may_idle_comes_after_a_refusal(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    server.uvicorn.config.timeout_keep_alive = 0.3
    with full(server, stuck_engine), server.connect() as connection:
        slow = HEAD.replace(V1.encode(), b"/v1/feedback") + b"Content-Length: 1\r\n\r\n"
        connection.sendall(HEAD + b"Content-Length: 1\r\n\r\n" + NO_JSON + slow)
        answers = connection.recv(65536)
        connection.settimeout(1.0)
        with pytest.raises(TimeoutError):
            connection.recv(65536)
        connection.settimeout(10.0)
        connection.sendall(NO_JSON)
        answers += connection.recv(65536)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"429", b"400"]


def test_who_may_not_ask_is_told_that_first(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    with full(server, stuck_engine):
        for origin in ("http://elsewhere.example", "http://["):
            assert server.http.post(V1, content=NO_JSON, headers={"Origin": origin}).status_code == 403
        with server.database.write() as session:
            secret, _ = create_key(session, ["predict"], note="caller", now=utc_now())
            other, _ = create_key(session, ["feedback"], note="corrector", now=utc_now())
        until(lambda: server.http.post(V1, content=NO_JSON).status_code == 401)
        assert server.http.post(V1, content=NO_JSON, headers={"X-API-Key": other}).status_code == 403
        assert server.http.post(V1, content=NO_JSON, headers={"X-API-Key": secret}).status_code == 429


def test_no_refusal_overtakes_the_answer_to_an_earlier_request(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    earlier = HEAD.replace(V1.encode(), b"/v1/feedback") + b"Content-Length: 2\r\n\r\n" + NO_JSON
    with full(server, stuck_engine), server.connect() as connection:
        connection.sendall(earlier)
        until(
            lambda: any(
                c.cycle and not c.cycle.response_complete for c in list(server.uvicorn.server_state.connections)
            )
        )
        connection.sendall(b"{" + HEAD + b"Content-Length: 1\r\n\r\n" + NO_JSON + HEALTH)
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"400", b"400", b"200"]


def test_long_paths_are_not_remembered(start: Start):
    server = start()
    hot_paths = server.uvicorn.config.http.keywords["shedding"]._hot_paths
    path = "/v1/models/{}/predict"
    for i in range(3):
        assert server.post(path.format("m" * 1000 + str(i)), {"inputs": ["x"]}).status_code == 404
        assert server.post(path.format(i), {"inputs": ["x"]}).status_code == 404
    assert hot_paths._remembered.cache_info().currsize == 3

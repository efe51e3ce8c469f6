import json

import numpy as np
import pytest

from engine.adapter import read_adapter
from engine.engine import Engine
from store.predictions import count_predictions, get_prediction
from tests.server.conftest import LABELS, TEXT, Start
from tests.server.problems import problem
from tests.waiting import until

PREDICT = "/v1/models/tickets/predict"


def test_an_answer_has_the_keys_that_callers_count_on(server):
    answer = server.predict("one", "two", probabilities=True).json()
    assert set(answer) == {"model", "version", "predictions"}
    assert (answer["model"], answer["version"], len(answer["predictions"])) == ("tickets", 1, 2)
    for prediction in answer["predictions"]:
        assert set(prediction) == {"id", "label", "score", "probabilities", "recorded"}
        assert prediction["id"].startswith("tickets:1:")
        assert prediction["recorded"] is True
        shares = prediction["probabilities"]
        assert tuple(shares) == LABELS
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert prediction["score"] == max(shares.values()) == shares[prediction["label"]]


def test_probabilities_come_only_when_asked_for(server):
    assert "probabilities" not in server.predict().json()["predictions"][0]


def test_the_version_that_is_named_answers_exactly_as_its_adapter_does(server, tiny, adapters, artifacts):
    engine = Engine(tiny.bundle, slots=2)
    for number, new in enumerate(adapters, 1):
        engine.bank.load(str(number), read_adapter(artifacts.fetch(new.adapter_artifact), tiny.spec))
        wanted = engine.score([TEXT], str(number), labels=len(LABELS)).probabilities[0]
        answer = server.predict(TEXT, version=number, probabilities=True).json()
        assert answer["version"] == number
        got = [answer["predictions"][0]["probabilities"][label] for label in LABELS]
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_each_text_of_many_gets_its_own_answer(server):
    texts = [f"{'very ' * (i % 7)}late parcel number {i}" for i in range(40)]
    together = [p["score"] for p in server.predict(*texts).json()["predictions"]]
    alone = [server.predict(text).json()["predictions"][0]["score"] for text in texts[:8]]
    assert together[:8] == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("text", ["naïve 日本語 🦜", "\u202e right to left", "a", " x ", "\x07\x1b[31m", "word" * 500])
def test_any_text_that_says_something_is_answered(server, text):
    assert server.predict(text, truncate=True).status_code == 200


def test_an_answer_is_recorded_as_it_was_given(server):
    body = {"inputs": [TEXT], "tags": {"region": "eu", "плат": "🦜"}}
    response = server.post(PREDICT, body, headers={"X-Request-ID": "my-request-7"})
    assert response.headers["x-request-id"] == "my-request-7"
    said = response.json()["predictions"][0]

    def stored():
        with server.database.read() as session:
            return get_prediction(session, said["id"])

    row = until(stored)
    assert (row.input, row.label, row.model, row.version) == (TEXT, said["label"], "tickets", 1)
    assert (row.tags, row.request_id) == ({"region": "eu", "плат": "🦜"}, "my-request-7")
    assert (row.reason, row.inclusion) == ("sample", 1.0)
    assert row.score == pytest.approx(said["score"], abs=1e-6)
    assert row.latency_s > 0


@pytest.mark.parametrize("asked", ["", "has space", "ü".encode(), "x" * 129, "tab\there"])
def test_a_request_id_that_is_none_is_replaced(server, asked):
    response = server.post(PREDICT, {"inputs": [TEXT]}, headers={"X-Request-ID": asked})
    assert len(response.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("body", "where", "words"),
    [
        ({"inputs": []}, "/inputs", ["send at least one"]),
        ({"inputs": ["fine", ""]}, "/inputs/1", ["inputs/1", "empty"]),
        ({"inputs": [" \n\t "]}, "/inputs/0", ["empty"]),
        ({"inputs": ["a\x00b"]}, "/inputs/0", ["NUL"]),
        ({"inputs": ["x"] * 51}, "/inputs", ["51 texts", "limit is 50"]),
        ({"inputs": ["fine", "word " * 100]}, "/inputs/1", ["102 tokens", "limit is 64", '"truncate": true']),
        ({"inputs": "text"}, "/inputs", ["array"]),
        ({"inputs": [5]}, "/inputs/0", ["string", "got 5"]),
        ({"inputs": [None]}, "/inputs/0", ["string"]),
        ({"inputs": [["nested"]]}, "/inputs/0", ["string", "a list of 1"]),
        ({"inputs": {"0": "x"}}, "/inputs", ["array"]),
        ({}, "/inputs", ["Field required"]),
        ([], "/", ["body"]),
        ("text", "/", ["body"]),
        (None, "/", ["body"]),
        ({"inputs": ["x"], "verison": 1}, "/verison", ["Extra inputs"]),
        ({"inputs": ["x"], "version": 0}, "/version", ["greater than or equal to 1"]),
        ({"inputs": ["x"], "version": "1"}, "/version", ["integer"]),
        ({"inputs": ["x"], "version": 1.0}, "/version", ["integer"]),
        ({"inputs": ["x"], "version": True}, "/version", ["integer"]),
        ({"inputs": ["x"], "truncate": "yes"}, "/truncate", ["boolean"]),
        ({"inputs": ["x"], "tags": {"a": 1}}, "/tags/a", ["string"]),
        ({"inputs": ["x"], "tags": {str(i): "" for i in range(17)}}, "/tags", ["16"]),
        ({"inputs": ["x"], "tags": {"a": "b" * 129}}, "/tags/a", ["128"]),
        ({"inputs": ["x"], "tags": {"a": "\x00"}}, "/tags/a", ["NUL"]),
    ],
)
def test_a_bad_body_is_refused_with_the_place_and_the_reason(server, body, where, words):
    assert problem(server.post(PREDICT, content=json.dumps(body)), 422, *words)["where"] == where


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", ["EOF"]),
        (b"{", ["EOF"]),
        (b"{'inputs': []}", ["key must be a string"]),
        (b'{"inputs": ["\xff\xfe"]}', ["byte 13 is not UTF-8"]),
        ('{"inputs": ["ü"]}'.encode("latin-1"), ["is not UTF-8"]),
        ('{"inputs": ["x"]}'.encode("utf-16"), ["is not UTF-8"]),
        (b'{"inputs": ["\\ud800"]}', ["JSON"]),
        (b'{"inputs": ["\\udc00\\ud800"]}', ["JSON"]),
        (b'{"inputs": [' + b"[" * 5000 + b"]" * 5000 + b"]}", ["recursion"]),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, ["recursion"]),
        (b'{"inputs": ["x"], "version": NaN}', []),
        (b'{"inputs": ["x"]} trailing', ["trailing"]),
        (b'{"inputs": ["x"], "version": 1' + b"0" * 5000 + b"}", []),
    ],
)
def test_what_is_no_json_is_malformed(server, raw, words):
    response = server.post(PREDICT, content=raw)
    problem(response, 422 if b"NaN" in raw else 400, *words)
    assert len(response.content) < 500, "a bad body is not sent back whole"


@pytest.mark.parametrize("version", [3, 2**31, 2**63, 10**30, 10**4000])
def test_a_version_that_does_not_exist_brings_those_that_do(server, version):
    problem(server.post(PREDICT, content=f'{{"inputs": ["x"], "version": {version}}}'), 404, "no version", "tickets")


@pytest.mark.parametrize("model", ["ticket", "TICKETS", "モデル", "..", "%00", "%ff", "a" * 3000, "<script>", "a%20b"])
def test_an_unknown_model_brings_the_near_ones(server, model):
    detail = problem(server.post(f"/v1/models/{model}/predict", {"inputs": ["x"]}), 404)["detail"]
    assert len(detail) < 4000
    if model.lower().startswith("ticket"):
        assert "tickets" in detail


def test_truncate_cuts_what_is_too_long(server):
    long = "parcel " * 100
    cut, whole = server.predict(long, long + "and more", truncate=True).json()["predictions"]
    assert cut["score"] == whole["score"]


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(server):
    limit = server.settings.max_body_bytes
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {limit + 1}\r\nConnection: close\r\n\r\n"
    answer = server.raw(head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert str(limit).encode() in answer


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(server):
    piece = b"x" * 2**16

    def endless():
        for _ in range(server.settings.max_body_bytes // len(piece) + 1):
            yield piece

    problem(server.post(PREDICT, content=endless()), 413, "larger than")


def test_a_body_at_the_limit_is_read(server):
    text = "a" * (server.settings.max_body_bytes - len('{"inputs":[""],"truncate":true}'))
    assert server.post(PREDICT, content='{"inputs":["' + text + '"],"truncate":true}').status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PREDICT, 405),
        ("PUT", PREDICT, 405),
        ("DELETE", "/v1/models/tickets", 405),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/models/tickets/predict/more", 404),
        ("PROPFIND", "/v1/models", 405),
        ("GET", "/v1//models", 404),
        ("POST", "/v1/models/a%2Fb/predict", 404),
    ],
)
def test_a_wrong_method_or_path_is_a_problem_too(server, method, path, status):
    response = server.http.request(method, path)
    problem(response, status, method, "/docs")
    assert ("allow" in response.headers) == (status == 405)


def test_requests_are_counted_by_code_and_only_known_models_get_a_series(server):
    def counted(model, version, code):
        return server.metric("driftgate_requests_total", model=model, version=version, code=code)

    before = counted("tickets", "1", "200"), counted("tickets", "none", "422")
    server.predict()
    server.predict("")
    assert (counted("tickets", "1", "200"), counted("tickets", "none", "422")) == (before[0] + 1, before[1] + 1)
    for body in (b"{", b'{"inputs": [""]}', b'{"inputs": ["x"]}'):
        server.post("/v1/models/no-such-model/predict", content=body)
    assert 'model="no-such-model"' not in server.get("/metrics").text
    assert sum(counted("unknown", "none", code) for code in ("400", "422", "404")) >= 3


def test_sampling_nothing_records_nothing_and_says_so(start: Start):
    server = start(sample_rate=0.0, audit_rate=0.0, low_score=0.0)
    assert [p["recorded"] for p in server.predict(*"abcdefgh").json()["predictions"]] == [False] * 8
    server.stop()
    assert server.metric("driftgate_predictions_recorded_total") == 0


def test_an_unsure_answer_is_always_recorded(start: Start):
    server = start(sample_rate=0.0, audit_rate=0.0, low_score=1.0)
    said = server.predict(*"abcdefgh").json()["predictions"]
    assert all(p["recorded"] for p in said)
    server.stop()
    with server.database.read() as session:
        rows = [get_prediction(session, p["id"]) for p in said]
    assert {(row.reason, row.inclusion) for row in rows if row} == {("low_score", 1.0)}


def test_a_full_queue_refuses_with_the_time_to_come_back(start: Start, stuck_engine):
    server = start(queue_tokens=16)
    with stuck_engine(server) as engine:
        calls = engine.send(server, 1)  # runs
        engine.wait_until_running()
        calls += engine.send(server, 3)  # wait: 3 x 7 tokens, and one may wait behind 16
        until(lambda: server.metric("driftgate_queue_tokens", base="tiny") == 21)
        refused = server.predict()
        problem(refused, 429, "tokens wait already", "try again")
        assert int(refused.headers["retry-after"]) >= 1
    assert {call.result(30).status_code for call in calls} == {200}
    assert server.metric("driftgate_queue_tokens", base="tiny") == 0


def test_a_deadline_that_passes_is_told_and_frees_the_place(start: Start, stuck_engine):
    server = start(request_timeout_s=0.3)
    server.predict()  # everything is loaded now
    with stuck_engine(server) as engine:
        calls = engine.send(server, 3)
        for call in calls:
            problem(call.result(30), 504, "no answer within 0.3 s")
        assert server.metric("driftgate_queue_tokens", base="tiny") == 0
    assert server.predict().status_code == 200
    assert until(lambda: server.nothing_leased())


def test_a_caller_that_leaves_takes_its_rows_along(start: Start, stuck_engine):
    server = start()
    body = json.dumps({"inputs": [TEXT] * 5}).encode()
    request = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with stuck_engine(server) as engine:
        (running,) = engine.send(server, 1)
        engine.wait_until_running()
        with server.connect() as caller:
            caller.sendall(request)
            until(lambda: server.metric("driftgate_queue_tokens", base="tiny") == 5 * 7)
        until(lambda: server.metric("driftgate_queue_tokens", base="tiny") == 0)
    assert running.result(30).status_code == 200
    until(lambda: server.metric("driftgate_requests_total", model="tickets", version="none", code="499") == 1)
    assert until(lambda: server.nothing_leased())


def test_a_caller_that_leaves_in_the_middle_of_its_body_is_no_bug(start: Start, caplog):
    server = start()
    with server.connect() as caller:
        caller.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
    until(lambda: server.metric("driftgate_requests_total", model="tickets", version="none", code="499") == 1)
    assert caplog.records == [] or "Exception" not in caplog.text


def test_predictions_go_on_while_one_batch_fails(start: Start, monkeypatch, caplog):
    server = start()
    server.predict()
    (runtime,) = server.parts.fleet._runtimes.values()

    def explode(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(runtime.engine, "run", explode)  # a failing accelerator is not at hand
    response = server.predict()
    assert problem(response, 500)["detail"] == "this is a bug; the log has the details"
    assert len(response.headers["x-request-id"]) == 32
    assert "out of memory" in caplog.text, "the log has the details"
    monkeypatch.undo()
    assert server.predict().status_code == 200
    assert server.nothing_leased()


def test_a_stopping_server_answers_what_it_accepted_and_writes_it(start: Start, stuck_engine):
    server = start()
    server.predict()
    with stuck_engine(server) as engine:
        calls = engine.send(server, 4)
        engine.wait_until_running()
        server.uvicorn.should_exit = True
    assert {call.result(30).status_code for call in calls} == {200}
    server.stop()
    with server.database.read() as session:
        assert count_predictions(session) == 4 + 2


def test_batches_are_packed_within_the_budget(start: Start, stuck_engine):
    server = start(budget_tokens=16)
    server.predict()
    with stuck_engine(server) as engine:
        calls = engine.send(server, 12)
        engine.wait_until_running()
    assert {call.result(30).status_code for call in calls} == {200}
    assert 7 < engine.largest_padded <= 16

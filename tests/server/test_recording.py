import sqlite3
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import store.database
from benchmarks import postgres
from server.recording import decide_recording, lottery
from store.database import open_database, sqlite_path
from store.predictions import count_predictions
from store.review import count_unlabelled_audit
from store.settings import load_settings
from tests.server.conftest import Start, hold_writes, stock
from tests.server.problems import problem
from tests.waiting import until

SHARE = st.floats(0, 1)
TICKET = st.floats(0, 1, exclude_max=True)


def decide(ticket, score, **rates):
    return decide_recording(ticket, score, **{"sample_rate": 0.5, "audit_rate": 0.1, "low_score": 0.3, **rates})


@given(TICKET, SHARE, SHARE, SHARE, SHARE)
def test_what_is_recorded_follows_from_ticket_and_score_alone(ticket, score, sample, audit, low):
    choice = decide(ticket, score, sample_rate=sample, audit_rate=audit, low_score=low)
    assert (choice is not None) == (ticket < max(sample, audit) or score < low)
    if choice is None:
        return
    assert (choice.reason == "sample") == (ticket < sample)
    assert (choice.audit is not None) == (ticket < audit), "the audit draw looks at nothing but the ticket"
    assert choice.audit in (None, audit)
    assert choice.inclusion == (1.0 if score < low else max(sample, audit))
    assert 0 < choice.inclusion <= 1


@given(TICKET, SHARE, SHARE, SHARE, SHARE)
def test_a_larger_rate_keeps_what_a_smaller_one_took(ticket, score, a, b, low):
    small, large = sorted((a, b))
    fewer = decide(ticket, score, sample_rate=small, audit_rate=0, low_score=low)
    more = decide(ticket, score, sample_rate=large, audit_rate=0, low_score=low)
    assert fewer is None or more is not None


@settings(max_examples=25, deadline=None)
@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.booleans())
def test_rows_are_recorded_and_audited_as_often_as_they_say(sample, audit, is_low):
    runs = 4000
    choices = [
        decide(lottery(f"id-{i}"), 0.1 if is_low else 0.9, sample_rate=sample, audit_rate=audit) for i in range(runs)
    ]
    for share, hits in [
        (1.0 if is_low else max(sample, audit), sum(c is not None for c in choices)),
        (audit, sum(c is not None and c.audit is not None for c in choices)),
        (sample, sum(c is not None and c.reason == "sample" for c in choices)),
    ]:
        error = (runs * share * (1 - share)) ** 0.5
        assert abs(hits - runs * share) <= 5 * error + 1e-9


@given(st.text())
def test_a_ticket_is_a_share_and_always_the_same(prediction_id):
    assert 0 <= lottery(prediction_id) < 1
    assert lottery(prediction_id) == lottery(prediction_id)


def test_the_audit_sample_is_part_of_what_is_recorded(start: Start):
    server = start(sample_rate=0.0, audit_rate=0.3, low_score=0.0)
    said = server.predict(*(f"text {i}" for i in range(60))).json()["predictions"]
    recorded = [p["id"] for p in said if p["recorded"]]
    assert recorded == [p["id"] for p in said if lottery(p["id"]) < 0.3]
    server.stop()
    with server.database.read() as session:
        assert count_predictions(session) == count_unlabelled_audit(session, "tickets") == len(recorded)


def test_predictions_go_on_while_the_store_is_down_and_what_is_lost_is_counted(start: Start, monkeypatch):
    monkeypatch.setattr(store.database, "BUSY_TIMEOUT_S", 0.1)  # else an outage would take half a minute to be seen
    server = start(record_buffer_rows=5)
    server.predict()
    until(lambda: server.metric("driftgate_predictions_recorded_total") == 1)
    path = sqlite_path(server.settings.database)
    holder = sqlite3.connect(path or "", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    answers = [server.predict().json()["predictions"][0] for _ in range(8)]
    assert [answer["recorded"] for answer in answers] == [True] * 5 + [False] * 3
    problem(server.post("/v1/feedback", {"prediction_id": answers[0]["id"], "label": "refund"}), 503, "store")
    problem(server.post("/v1/models/tickets/versions/2/promote"), 503, "store")
    until(lambda: server.parts.recorder._store_down)
    assert server.predict().json()["predictions"][0]["recorded"] is False
    assert server.metric("driftgate_predictions_dropped_total", reason="store_down") >= 1
    assert server.get("/readyz").status_code == 200
    holder.execute("ROLLBACK")
    holder.close()
    until(lambda: server.metric("driftgate_predictions_recorded_total") == 6)
    dropped = sum(
        server.metric("driftgate_predictions_dropped_total", reason=reason) for reason in ("store_down", "buffer_full")
    )
    assert dropped == 4
    assert server.predict().json()["predictions"][0]["recorded"] is True


def test_what_waits_to_be_written_is_bounded_in_letters_as_well_as_in_rows(start: Start, monkeypatch):
    monkeypatch.setattr("server.recording.BUFFER_LETTERS", 50)
    server = start()
    written = hold_writes(server, monkeypatch)
    recorded = [server.predict("a text of 24 letters 123").json()["predictions"][0]["recorded"] for _ in range(3)]
    assert recorded == [True, True, False]
    assert server.metric("driftgate_predictions_dropped_total", reason="buffer_full") == 1
    written.set()
    until(lambda: server.predict("a text of 24 letters 123").json()["predictions"][0]["recorded"])


def test_what_cannot_be_written_in_time_is_counted_when_the_server_stops(start: Start, monkeypatch):
    monkeypatch.setattr(store.database, "BUSY_TIMEOUT_S", 0.1)  # as above
    server = start(drain_timeout_s=0.2)
    server.predict()
    until(lambda: server.metric("driftgate_predictions_recorded_total") == 1)
    holder = sqlite3.connect(sqlite_path(server.settings.database) or "", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    server.predict("a", "b", "c")
    server.stop()
    holder.close()
    assert server.metric("driftgate_predictions_dropped_total", reason="store_down") == 3


@pytest.mark.skipif(postgres.why_not() is not None, reason=postgres.why_not() or "")
def test_a_server_outlives_its_postgresql(start: Start, tmp_path, tiny, adapters):
    database_server = postgres.Postgres()
    try:
        database_server.start()
        url = database_server.create(uuid.uuid4().hex)
        settings = load_settings(database_url=url)
        database = store.database.Database(settings.database)
        database.upgrade()
        stock(database, tiny, adapters)
        database.close()
        server = start(database_url=url)
        said = server.predict("a", tags={"k": "v"}).json()["predictions"][0]
        assert server.post("/v1/feedback", {"prediction_id": said["id"], "label": "x"}).status_code == 201
        for path in ("/v1/models/%00/history", "/v1/runs/%00", "/models/%00", "/drift/%00"):
            assert server.get(path).status_code in (404, 422), path
        until(lambda: server.metric("driftgate_predictions_recorded_total") == 1)
        database_server.stop()
        assert server.predict("b").json()["predictions"][0]["recorded"] is True
        problem(server.post("/v1/feedback", {"prediction_id": said["id"], "label": "y"}), 503, "store")
        problem(server.get("/v1/models"), 503, "store")
        until(lambda: "store" in server.get("/readyz").json()["problems"])
        assert server.get("/readyz").status_code == 200
        assert "s3cret" not in server.get("/readyz").text + server.get("/v1/models").text
        database_server.start()
        until(lambda: server.metric("driftgate_predictions_recorded_total") == 2)
        until(lambda: server.get("/readyz").json()["problems"] == {})
        opened = open_database(settings)
        with opened.read() as session:
            assert count_predictions(session) == 2
        opened.close()
        server.stop()
    finally:
        database_server.remove()

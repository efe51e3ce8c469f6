import json

import pytest

from store.feedback import count_feedback, labelled_rows
from tests.server.conftest import TEXT, Start, hold_writes
from tests.server.problems import problem
from tests.threads import all_at_once
from tests.waiting import until

NEVER_RECORDED = "tickets:1:" + "0" * 32


@pytest.fixture
def answered(server):
    """The id of an answer."""
    return server.predict().json()["predictions"][0]["id"]


def counted(server) -> int:
    with server.database.read() as session:
        return count_feedback(session)


def test_feedback_is_stored_once_however_often_it_is_said(server, answered):
    before, said = counted(server), {"prediction_id": answered, "label": "refund"}
    first = server.post("/v1/feedback", said)
    assert (first.status_code, set(first.json()), first.json()["status"]) == (201, {"id", "status"}, "accepted")
    assert counted(server) == before + 1, "acknowledged means durable, for every process"
    again = server.post("/v1/feedback", said)
    assert (again.status_code, again.json()) == (200, first.json())
    assert counted(server) == before + 1


def test_the_same_said_at_the_same_moment_is_stored_once(server, answered):
    before, said = counted(server), {"prediction_id": answered, "label": "refund"}
    answers = all_at_once([lambda: server.post("/v1/feedback", said)] * 8)
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert counted(server) == before + 1


@pytest.mark.parametrize(
    ("verdict", "counted_as"),
    [({"label": "new label"}, "label"), ({"correct": True}, "right"), ({"correct": False}, "wrong")],
)
def test_each_kind_of_verdict_is_accepted_and_counted(server, answered, verdict, counted_as):
    before = server.metric("driftgate_feedback_total", model="tickets", verdict=counted_as)
    said = {"prediction_id": answered, "comment": "hm 🦜", "by": "ann", **verdict}
    for status in (201, 200):
        assert server.post("/v1/feedback", said).status_code == status
    assert server.metric("driftgate_feedback_total", model="tickets", verdict=counted_as) == before + 1


def test_an_answer_that_was_not_recorded_needs_its_text(server):
    said = {"prediction_id": NEVER_RECORDED, "label": "refund"}
    assert problem(server.post("/v1/feedback", said), 422, "was not recorded", "'input'")["where"] == "/input"
    assert server.post("/v1/feedback", {**said, "input": "what I wrote"}).status_code == 201
    with server.database.read() as session:
        texts = {row.prediction_id: row.text for row in labelled_rows(session, "tickets")}
    assert texts[NEVER_RECORDED] == "what I wrote"


@pytest.mark.parametrize("made", ["e0", "ff"])  # the years 9766 and 10889
def test_ids_of_the_far_future_hold_nothing_up(server, made):
    said = {"prediction_id": f"tickets:1:{made}" + "0" * 30, "label": "refund", "input": "what I wrote"}
    answers = all_at_once([lambda n=n: server.post("/v1/feedback", {**said, "comment": str(n)}) for n in range(12)])
    assert {answer.status_code for answer in answers} <= {200, 201}
    recorded = server.metric("driftgate_predictions_recorded_total")
    server.predict()
    until(lambda: server.metric("driftgate_predictions_recorded_total") == recorded + 1)


def test_feedback_on_an_answer_that_still_waits_to_be_written_is_taken(start: Start, monkeypatch):
    server = start()
    written = hold_writes(server, monkeypatch)
    answer = server.predict().json()["predictions"][0]
    assert server.post("/v1/feedback", {"prediction_id": answer["id"], "label": "refund"}).status_code == 201
    written.set()
    server.stop()
    with server.database.read() as session:
        assert [(row.text, row.label) for row in labelled_rows(session, "tickets")] == [(TEXT, "refund")]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"prediction_id": "nonsense", "label": "x"}, 422, ["no prediction id", "tickets:3:0193"]),
        ({"prediction_id": "tickets:²:" + "0" * 32, "label": "x"}, 422, ["no prediction id"]),
        ({"prediction_id": "tickets:٣:" + "0" * 32, "label": "x"}, 422, ["no prediction id"]),
        ({"prediction_id": "tickets:1:" + "z" * 32, "label": "x"}, 422, ["no prediction id"]),
        ({"prediction_id": "tickets:1:" + "0" * 31, "label": "x"}, 422, ["no prediction id"]),
        ({"prediction_id": "a\x00b:1:" + "0" * 32, "label": "x"}, 422, ["NUL"]),
        ({"prediction_id": "x" * 201, "label": "x"}, 422, ["200"]),
        ({"prediction_id": "nobody:1:" + "0" * 32, "label": "x", "input": "t"}, 404, ["no model 'nobody'"]),
        ({"prediction_id": "tickets:9:" + "0" * 32, "label": "x", "input": "t"}, 404, ["no version '9'", "1, 2"]),
        ({"prediction_id": "tickets:999999999:" + "0" * 32, "label": "x", "input": "t"}, 404, ["no version"]),
        ({"prediction_id": NEVER_RECORDED}, 422, ["say the right 'label'"]),
        ({"prediction_id": NEVER_RECORDED, "label": ""}, 422, ["at least 1 character"]),
        ({"prediction_id": NEVER_RECORDED, "label": "x" * 201}, 422, ["200"]),
        ({"prediction_id": NEVER_RECORDED, "label": "a\x00"}, 422, ["label: holds a NUL"]),
        ({"prediction_id": NEVER_RECORDED, "label": "x", "by": "a\x00"}, 422, ["by: holds a NUL"]),
        ({"prediction_id": NEVER_RECORDED, "label": "x", "comment": "\x00"}, 422, ["comment: holds a NUL"]),
        ({"prediction_id": NEVER_RECORDED, "label": "x", "input": "\x00"}, 422, ["input: holds a NUL"]),
        ({"prediction_id": NEVER_RECORDED, "correct": "no"}, 422, ["boolean"]),
        ({"prediction_id": NEVER_RECORDED, "correct": 1}, 422, ["boolean"]),
        ({"prediction_id": 7, "label": "x"}, 422, ["string"]),
        ({"prediction_id": NEVER_RECORDED, "labl": "x"}, 422, ["labl"]),
        ({"label": "x"}, 422, ["prediction_id: Field required"]),
        ([], 422, ["body"]),
    ],
)
def test_bad_feedback_is_refused_and_nothing_is_stored(server, body, status, words):
    before = counted(server)
    problem(server.post("/v1/feedback", content=json.dumps(body)), status, *words)
    assert counted(server) == before


def test_an_audit_row_keeps_its_origin_by_its_prediction(start: Start):
    server = start(audit_rate=1.0)
    (drawn,) = server.predict().json()["predictions"]
    server.post("/v1/feedback", {"prediction_id": drawn["id"], "label": "refund", "origin": "audit"})

    def judged():
        with server.database.read() as session:
            return [row for row in labelled_rows(session, "tickets") if row.predicted is not None]

    (row,) = until(judged)
    assert (row.origin, row.inclusion) == ("audit", 1.0)

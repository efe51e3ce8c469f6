import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.checks import add_check
from store.clock import utc_now
from store.feedback import audit_verdicts, count_feedback, labelled_rows
from store.records import AuditSample
from store.review import count_unlabelled_audit
from store.settings import load_settings
from tests.conftest import ImportedBase
from tests.server.conftest import LABELS, Server, Start
from tests.server.problems import problem
from tests.store.rows import check
from tests.threads import all_at_once
from tests.waiting import until

NEVER_DRAWN = "tickets:1:" + "0" * 32


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory, tiny: ImportedBase, stocked_home: Path) -> Iterator[Server]:
    """One server for all tests of this file that only ask. It draws every answer."""
    home = tmp_path_factory.mktemp("drawing") / "home"
    shutil.copytree(stocked_home, home)
    artifacts = str(tiny.bundle.parents[1])
    running = Server(load_settings(home=home, artifacts_url=artifacts, slots=4, grpc_port=0, audit_rate=1.0))
    yield running
    running.stop()


def answer(server: Server, *texts: str, **body) -> list[str]:
    """Ids of answers that are in the audit sample by now."""
    ids = [one["id"] for one in server.predict(*texts, **body).json()["predictions"]]

    def written() -> bool:
        with server.database.read() as session:
            return all(session.get(AuditSample, one) is not None for one in ids)

    until(written)
    return ids


def ask(server: Server, **query) -> dict:
    response = server.get("/v1/review/next", params={"model": "tickets", **query})
    assert response.status_code == 200, response.text
    return response.json()


def offered(server: Server, **query) -> list[str]:
    return [row["prediction_id"] for row in ask(server, **query)["rows"]]


def counted(server: Server) -> int:
    with server.database.read() as session:
        return count_feedback(session)


def want_labels(server: Server, planned: int, since) -> None:
    wanted = {"planned": planned, "labelled": 0, "waiting": 0, "since": since.isoformat()}
    with server.database.write() as session:
        add_check(session, check(verdict="drift", decision={"labels_wanted": wanted}, at=utc_now()))


def test_rows_are_handed_out_without_the_answer_unless_it_is_asked_for(start: Start):
    server = start(audit_rate=1.0)
    assert ask(server) == {"model": "tickets", "wanted": None, "labels": sorted(LABELS), "rows": []}
    (old,) = answer(server, "an old one", version=2)
    (new,) = answer(server, "a new one")
    found = ask(server)
    assert [set(row) for row in found["rows"]] == [{"prediction_id", "version", "input", "at"}] * 2
    assert [(row["prediction_id"], row["version"], row["input"]) for row in found["rows"]] == [
        (new, 1, "a new one"),
        (old, 2, "an old one"),
    ]
    shown = ask(server, answers=True)["rows"]
    assert all(row["answer"]["label"] in LABELS and 0 < row["answer"]["score"] <= 1 for row in shown)
    assert [row["prediction_id"] for row in shown] == [new, old]
    assert offered(server, n=1) == [new]


def test_what_a_drift_check_asks_for_comes_first_until_it_is_there(start: Start):
    server = start(audit_rate=1.0)
    (before,) = answer(server, "before the drift")
    since = utc_now()
    first = [answer(server, f"since the drift {i}")[0] for i in range(4)]
    (newest,) = answer(server, "of another version", version=2)
    want_labels(server, 1, since)
    assert ask(server)["wanted"] == {"planned": 1, "labelled": 0, "waiting": 2, "since": since.isoformat()}
    assert offered(server) == [first[0], first[1], newest, first[3], first[2], before]
    server.post(f"/v1/review/{first[0]}", {"skip": True})
    assert offered(server, n=2) == [first[1], newest]
    server.post(f"/v1/review/{first[1]}", {"label": "refund"})
    found = ask(server)
    assert (found["wanted"]["labelled"], found["wanted"]["waiting"]) == (1, 0)
    assert [row["prediction_id"] for row in found["rows"]] == [newest, first[3], first[2], before]


@pytest.mark.parametrize(
    ("said", "counted_as"),
    [
        ({"label": "new label"}, "label"),
        ({"correct": True}, "right"),
        ({"correct": False}, "wrong"),
        ({"label": "refund", "correct": False}, "label"),
    ],
)
def test_a_review_is_a_label_that_measures_and_is_stored_once(drawing, said, counted_as):
    (row,) = answer(drawing)
    metric = {"model": "tickets", "verdict": counted_as}
    stored, seen = counted(drawing), drawing.metric("driftgate_feedback_total", **metric)
    said = {**said, "by": "ann", "comment": "hm 🦜"}
    first = drawing.post(f"/v1/review/{row}", said)
    assert (first.status_code, set(first.json()), first.json()["status"]) == (201, {"id", "status"}, "accepted")
    again = drawing.post(f"/v1/review/{row}", said)
    assert (again.status_code, again.json()) == (200, first.json())
    assert counted(drawing) == stored + 1
    assert drawing.metric("driftgate_feedback_total", **metric) == seen + 1
    assert row not in offered(drawing, n=200)
    as_feedback = {"prediction_id": row, "origin": "audit", **said}
    assert drawing.post("/v1/feedback", as_feedback).json() == first.json(), "both doors say the same"


def test_a_review_measures_and_a_flag_leaves_the_row_to_be_reviewed(start: Start):
    server = start(audit_rate=1.0)
    reviewed, flagged = answer(server, "one", "two")
    server.post(f"/v1/review/{reviewed}", {"label": "refund"})
    server.post("/v1/feedback", {"prediction_id": flagged, "label": "refund"})
    assert offered(server) == [flagged]
    with server.database.read() as session:
        assert len(audit_verdicts(session, "tickets", 1, rows=9)) == 1
        origins = {row.prediction_id: row.origin for row in labelled_rows(session, "tickets")}
        assert count_unlabelled_audit(session, "tickets") == 1
    assert origins == {reviewed: "audit", flagged: "flagged"}


def test_a_skip_is_recorded_not_offered_again_and_gives_way_to_a_label(drawing):
    (row,) = answer(drawing)
    stored = counted(drawing)
    first = drawing.post(f"/v1/review/{row}", {"skip": True, "reason": "no German", "by": "ann"})
    told = first.json()
    assert first.status_code == 201
    assert (told["prediction_id"], told["status"], told["by"], told["reason"]) == (row, "skipped", "ann", "no German")
    again = drawing.post(f"/v1/review/{row}", {"skip": True, "by": "bob"})
    assert (again.status_code, again.json()) == (200, told), "who took it off the list stays on record"
    assert (row not in offered(drawing, n=200), counted(drawing)) == (True, stored)
    assert drawing.post(f"/v1/review/{row}", {"label": "refund"}).status_code == 201
    with drawing.database.read() as session:
        assert row in {one.prediction_id for one in labelled_rows(session, "tickets") if one.origin == "audit"}


def test_the_same_review_at_the_same_moment_is_stored_once(drawing):
    label, skipped = answer(drawing, "one", "two")
    for path, said in ((label, {"label": "refund"}), (skipped, {"skip": True})):
        answers = all_at_once([lambda path=path, said=said: drawing.post(f"/v1/review/{path}", said)] * 6)
        assert sorted(one.status_code for one in answers) == [200] * 5 + [201]


def test_a_review_of_an_answer_of_a_moment_ago_is_taken(drawing):
    (row,) = drawing.predict().json()["predictions"]
    assert drawing.post(f"/v1/review/{row['id']}", {"label": "refund"}).status_code == 201


def test_only_rows_that_were_drawn_may_be_reviewed(start: Start):
    server = start(audit_rate=0.0)
    (row,) = server.predict().json()["predictions"]
    before = counted(server)
    for one in (row["id"], NEVER_DRAWN):
        for said in ({"label": "refund"}, {"correct": False}, {"skip": True}):
            problem(server.post(f"/v1/review/{one}", said), 409, "not in the audit sample", "POST /v1/feedback")
    assert counted(server) == before


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, ["'label'", "'correct'", "'skip'"]),
        ({"by": "ann"}, 422, ["'label'"]),
        ({"label": "x", "skip": True}, 422, ["either judged or skipped"]),
        ({"correct": True, "skip": True}, 422, ["either judged or skipped"]),
        ({"skip": False}, 422, ["'skip'"]),
        ({"skip": 1}, 422, ["skip"]),
        ({"skip": "true"}, 422, ["skip"]),
        ({"skip": True, "comment": "hm"}, 422, ["'reason'"]),
        ({"label": "x", "reason": "hm"}, 422, ["'comment'"]),
        ({"skip": True, "reason": ""}, 422, ["at least 1 character"]),
        ({"skip": True, "reason": "x" * 4_001}, 422, ["4000"]),
        ({"skip": True, "reason": "a\x00"}, 422, ["reason: holds a NUL"]),
        ({"label": ""}, 422, ["at least 1 character"]),
        ({"label": "x" * 201}, 422, ["200"]),
        ({"label": "a\x00"}, 422, ["label: holds a NUL"]),
        ({"label": 7}, 422, ["string"]),
        ({"label": ["x"]}, 422, ["string"]),
        ({"label": "x", "comment": "x" * 4_001}, 422, ["4000"]),
        ({"label": "x", "by": ""}, 422, ["at least 1 character"]),
        ({"label": "x", "by": "x" * 129}, 422, ["128"]),
        ({"label": "x", "by": "a\x00"}, 422, ["by: holds a NUL"]),
        ({"correct": "no"}, 422, ["boolean"]),
        ({"correct": 1}, 422, ["boolean"]),
        ({"label": "x", "origin": "flagged"}, 422, ["origin"]),
        ({"label": "x", "prediction_id": NEVER_DRAWN}, 422, ["prediction_id"]),
        ([], 422, ["body"]),
    ],
)
def test_a_bad_review_is_refused_and_nothing_is_stored(drawing, body, status, words):
    (row,) = answer(drawing)
    before = counted(drawing)
    problem(drawing.post(f"/v1/review/{row}", content=json.dumps(body)), status, *words)
    assert counted(drawing) == before
    assert row in offered(drawing, n=200)


@pytest.mark.parametrize(
    ("prediction", "status", "words"),
    [
        ("next", 422, ["no prediction id", "tickets:3:0193"]),
        ("tickets:1:" + "z" * 32, 422, ["no prediction id"]),
        ("tickets:1:" + "0" * 4_000, 422, ["no prediction id"]),
        ("a%00b:1:" + "0" * 32, 422, ["no prediction id"]),
        ("tickets:%C2%B2:" + "0" * 32, 422, ["no prediction id"]),
        ("nobody:1:" + "0" * 32, 404, ["no model 'nobody'"]),
        ("tickets:9:" + "0" * 32, 404, ["no version '9'", "1, 2"]),
        ("tickets:1:" + "ff" + "0" * 30, 409, ["not in the audit sample"]),
    ],
)
def test_a_review_of_what_is_no_row_is_refused(drawing, prediction, status, words):
    problem(drawing.post(f"/v1/review/{prediction}", {"label": "x"}), status, *words)


def test_the_id_of_a_row_under_another_version_is_no_row(drawing):
    (row,) = answer(drawing)
    problem(drawing.post(f"/v1/review/{row.replace(':1:', ':2:')}", {"label": "x"}), 409, "not in the audit sample")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"label": NaN}'])
def test_a_body_that_is_not_json_is_refused(drawing, content):
    assert drawing.post(f"/v1/review/{NEVER_DRAWN}", content=content).status_code in (400, 422)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 422, ["model"]),
        ("model=", 422, ["model"]),
        ("model=nobody", 404, ["no model 'nobody'", "tickets"]),
        ("model=" + "x" * 129, 422, ["128"]),
        ("model=a%00b", 404, ["no model"]),
        ("model=tickets&n=0", 422, ["n"]),
        ("model=tickets&n=201", 422, ["200"]),
        ("model=tickets&n=ten", 422, ["n"]),
        ("model=tickets&answers=maybe", 422, ["answers"]),
    ],
)
def test_a_bad_question_is_refused(drawing, query, status, words):
    problem(drawing.get(f"/v1/review/next?{query}"), status, *words)


def test_a_model_without_a_production_version_has_rows_and_no_wish(start: Start):
    server = start(audit_rate=1.0)
    (row,) = answer(server)
    with server.database.write() as session:
        session.connection().exec_driver_sql("UPDATE deployments SET production = NULL")
    assert (offered(server), ask(server)["wanted"], ask(server)["labels"]) == ([row], None, sorted(LABELS))


def test_the_api_describes_reviews(drawing):
    paths = drawing.get("/openapi.json").json()["paths"]
    body = paths["/v1/review/{prediction_id}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"label", "correct", "skip", "reason", "comment", "by"}
    assert {one["name"] for one in paths["/v1/review/next"]["get"]["parameters"]} == {"model", "n", "answers"}

import re
from datetime import UTC, datetime

import pytest

from store.artifacts import open_artifacts
from store.checks import add_check
from store.clock import utc_now
from store.events import tell
from store.runs import NewRun, enqueue_run
from tests.server.conftest import Start
from tests.server.problems import problem
from tests.server.test_models import check

SCRIPT = "<script>alert('x')</script>"
DELETED = datetime(2027, 2, 1, 4, 0, tzinfo=UTC)


def test_the_first_page_has_a_line_for_every_model(server):
    page = server.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert '<a href="/models/tickets">tickets</a>' in page.text
    assert "none yet" in page.text


def test_every_page_keeps_foreign_content_out(server):
    for path in ("/", "/models/tickets"):
        headers = server.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert server.get("/static/console.css").headers["content-type"].startswith("text/css")


def test_what_people_wrote_is_text_and_never_markup(start: Start):
    server = start()
    with server.database.write() as session:
        tell(session, "tickets", "noted", SCRIPT, by=SCRIPT, now=utc_now())
        enqueue_run(session, NewRun("tickets", "tiny", SCRIPT, "lora", {}), by=SCRIPT, now=utc_now())
        add_check(session, check(decision={"reasons": [SCRIPT]}, signals={SCRIPT: {"drifted": True}}))
    for path in ("/models/tickets", "/"):
        page = server.get(path)
        assert page.status_code == 200
        assert "<script" not in page.text
    assert server.get("/models/tickets").text.count("&lt;script&gt;") >= 5


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"verdict": "not_enough_data", "accuracy": {}, "signals": {}, "kinds": [], "decision": {}},
        {"accuracy": {"validation": {"value": 0.9}}, "signals": {"length": {"drifted": False}}},
        {"report": "reports/x"},
        {"report_deleted_at": utc_now()},
    ],
)
def test_a_check_of_any_kind_can_be_shown(start: Start, columns):
    server = start()
    with server.database.write() as session:
        add_check(session, check(**columns))
    assert server.get("/").status_code == 200
    assert server.get("/models/tickets").status_code == 200


def test_a_report_is_shown_in_a_sandbox(start: Start, tmp_path):
    server = start(artifacts_url=None)
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.html").write_text("<p>it drifted</p>")
    key = open_artifacts(server.settings).put("reports", report)
    with server.database.write() as session:
        drawn = check(report=key)
        add_check(session, drawn)
    assert f'<a href="/drift/{drawn.id}">open</a>' in server.get("/models/tickets").text
    page = server.get(f"/drift/{drawn.id}")
    assert "it drifted" in page.text
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts;")
    problem(server.get("/drift/none"), 404, "no check 'none'")


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"verdict": "not_enough_data"}, "there was too little data to compare"),
        ({"verdict": "stable"}, "nothing differed and nobody had asked; .*: driftgate drift check tickets$"),
        ({"verdict": "stable", "report_deleted_at": DELETED}, "it was deleted on 2027-02-01"),
        ({"verdict": "drift", "report_deleted_at": DELETED}, "it was deleted on 2027-02-01"),
    ],
)
def test_a_check_without_a_report_says_why(start: Start, columns, why):
    server = start()
    with server.database.write() as session:
        without = check(report=None, **columns)
        add_check(session, without)
    answer = server.get(f"/drift/{without.id}")
    assert re.search(f"^check {without.id} has no report: {why}", problem(answer, 404)["detail"])
    listed = server.get("/models/tickets").text
    assert f"/drift/{without.id}" not in listed
    assert ('<span class="soft">deleted</span>' in listed) == ("report_deleted_at" in columns)


def test_an_unknown_model_has_no_page(server):
    problem(server.get("/models/ticket"), 404, "did you mean 'tickets'?")
    problem(server.get("/models/%3Cscript%3E"), 404)

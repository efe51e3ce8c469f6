"""The drift page as a person meets it: over HTTP, and in a browser."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from monitor.check import run_check
from monitor.parts import open_monitor_parts
from server.console.drift import KINDS, SHOWN_CHECKS
from server.console.panels import SIGNALS
from store.checks import add_check
from store.database import Database
from store.feedback import NewFeedback, add_feedback
from store.predictions import add_predictions
from store.records import Check
from tests.browser import browser, needs_chromium
from tests.monitor.conftest import HandClock, World
from tests.monitor.traffic import DRIFTED
from tests.server.conftest import Start
from tests.server.problems import problem
from tests.store.rows import check, prediction, prediction_id

HOSTILE = "<script>document.title = 'mine'</script>\"'><img src=x onerror=alert(1)>\u202e{{ 7 * 7 }}"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CALM = {"p_value": 0.5, "threshold": 0.01, "drifted": False, "statistic": 0.1, "telling": "length", "change": 0.1}
FOUND = {**CALM, "p_value": 0.0004, "drifted": True, "change": 0.62, "since": "2026-11-22T06:00:00+00:00"}
ACCURACY = {
    "validation": {"value": 0.9, "low": 0.87, "high": 0.93, "rows": 360},
    "estimated": {"value": 0.7, "low": 0.66, "high": 0.75, "rows": 250},
    "labelled": {"value": 0.5, "low": 0.4, "high": 0.6, "rows": 90},
}


def calm(at: datetime = NOON - timedelta(hours=1), **columns) -> Check:
    said = {"drift": "no signal differs from the reference", "action": "none", "reasons": []}
    return check(at=at, signals={"length": CALM, "embedding": CALM}, decision=said, accuracy=ACCURACY, **columns)


def drifted(at: datetime = NOON, *, decision=None, **columns) -> Check:
    values = {
        "verdict": "drift",
        "kinds": ["covariate", "unseen"],
        "signals": {"length": CALM, "embedding": FOUND},
        "accuracy": ACCURACY,
        "decision": {
            "drift": "embedding (p = 0.0004) differs from the reference in 2 checks in a row",
            "action": "none",
            "alert": False,
            "triggers": ["drift"],
            "blockers": ["no_loss"],
            "reasons": ["drift confirmed (embedding)", "accuracy since then is no loss"],
            "telling": [],
            **(decision or {}),
        },
    }
    return check(at=at, **{**values, **columns})


def add(database: Database, *checks: Check) -> None:
    with database.write() as session:
        for one in checks:
            add_check(session, one)
            session.flush()


class Words(HTMLParser):
    """What a person reads, and where links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.links = "", [], set()
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links |= {value for name, value in attrs if name == "href"}
        self.text += " "

    def handle_data(self, data):
        self.text += data

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(server, path: str = "/models/tickets/drift") -> Words:
    page = server.get(path)
    assert page.status_code == 200, page.text
    return Words(page.text)


def test_a_confirmed_drift_is_told_in_words(start: Start):
    server = start()
    add(server.database, calm(), drifted())
    page = read(server)
    for said in (
        "Drift confirmed since about 2026-11-22 06:00 UTC",
        "Embedding (p = 0.0004) differs from the reference in 2 checks in a row.",
        f"covariate {KINDS['covariate']}",
        f"unseen {KINDS['unseen']}",
        "Window 500 rows",
        "Reference 400 rows",
        "Nothing is trained. ",
        "Calls for a run drift confirmed (embedding)",
        "Stands in the way accuracy since then is no loss",
        "2 checks with enough data",
        "1 of them found something",
    ):
        assert said in page.text
    assert "Please label" not in page.text


@pytest.mark.parametrize("kind", [*KINDS, "of_another_release"])
def test_a_kind_of_drift_has_its_sentence_and_a_new_one_its_name(start: Start, kind):
    server = start()
    add(server.database, drifted(kinds=[kind]))
    assert f"{kind.replace('_', ' ')} {KINDS.get(kind, '')}".strip() in read(server).text


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"action": "retrain", "run": "01a2", "blockers": []}, "A new version is to be trained: run 01a2"),
        ({"action": "alert", "alert": True, "reasons": ["a", "b", "labelled 0.5 is low"]}, "Alert labelled 0.5 is low"),
        ({"action": "none", "triggers": [], "blockers": [], "reasons": []}, "Why Nothing calls for a run."),
        ({"reasons": ["of an old release"], "triggers": [], "blockers": []}, "Remarks of an old release"),
    ],
)
def test_what_the_policy_decided_is_told_with_its_reasons(start: Start, decision, said):
    server = start()
    add(server.database, drifted(decision=decision))
    assert said in read(server).text


def test_what_labels_say_is_told_the_worst_recall_first(start: Start):
    server = start()
    recall = {f"label_{i}": {"value": i / 20, "low": 0.0, "high": 1.0, "rows": 9 + i} for i in range(12)}
    calibration = {"confident": 0.91, "right": 0.62, "error": 0.294, "p_value": 2e-7, "rows": 300}
    labels = {"calibration": calibration, "recall": recall, "wrong_without_label": 4}
    concept = "of 300 labelled answers 62.0% are right"
    add(server.database, drifted(kinds=["concept"], decision={"labels": labels, "concept": concept}))
    page = read(server).text
    for said in (
        f"Labels say more: {concept}.",
        "newest 300 labelled answers 62.0 % are right; the model was 91.0 % sure",
        "error is 0.294; so few right answers come by chance with p = 2e-07",
        "label_0 0 % 0 to 100 % 9 label_1 5 %",
        "Shown are the 10 worst of 12. Of 4 rows only that they are wrong is known",
    ):
        assert said in page
    assert "label_10" not in page


def test_slices_are_in_the_table_and_not_among_the_charts(start: Start):
    server = start()
    of_slice = FOUND | {"window_rows": 120, "reference_rows": 480}
    add(server.database, drifted(signals={"length": CALM, "region=eu_west: embedding": of_slice}))
    page = read(server)
    assert "region=eu_west: embedding 120 rows against 480 ◆ yes" in page.text
    charts = [str(attributes) for attributes in page.of("svg")]
    assert any("length in one check" in one for one in charts)
    assert not any("region" in one for one in charts)
    assert "only where the whole window does not differ" in page.text


def test_a_slice_is_known_by_what_is_kept_of_it_and_its_tag_stays_as_it_was_written(start: Start):
    server = start()
    name, of_slice = "my_shop=eu: embedding", FOUND | {"window_rows": 120, "reference_rows": 480}
    said = {"drift": f"{name} (p = 0.0004) differs from the reference in 2 checks in a row"}
    add(server.database, drifted(signals={"out_of_scope": FOUND, "a: b": CALM, name: of_slice}, decision=said))
    page = read(server)
    assert f" {name} (p = 0.0004) differs from the reference" in page.text
    assert f"drift out of scope, {name} 1 500 rows" in page.text, "in the list of checks"
    assert len([svg for svg in page.of("svg") if svg.get("aria-label", "").startswith("a: b in one check")]) == 1


def wanting(*, planned: int, waiting: int = 0, labelled: int = 0) -> dict:
    since = (NOON - timedelta(hours=6)).isoformat()
    return {
        "labels_wanted": {"planned": planned, "labelled": labelled, "waiting": waiting, "since": since},
        "blockers": ["unmeasured"],
        "reasons": ["drift confirmed (embedding)", "0 of 10 labels are there"],
    }


def test_labels_that_are_wanted_are_counted_as_of_now(start: Start):
    server = start()
    add(server.database, drifted(decision=wanting(planned=10, waiting=4)))
    with server.database.write() as session:
        add_predictions(session, [prediction(i, audit=0.1, at=NOON - timedelta(hours=1)) for i in range(8)])
        for i in range(3):
            said = NewFeedback(prediction_id(i), "tickets", 1, "refund", None, None, None, "ann", "audit")
            add_feedback(session, said, now=NOON)
    page = read(server)
    assert "3 of 10 labels are there, 7 are missing; 5 rows wait for one, the others must still come in." in page.text
    assert "since 2026-11-22 06:00 UTC. GET /v1/review/next?model=tickets hands out just these rows." in page.text
    assert page.of("progress")[0] | {"max": "10", "value": "3"} == page.of("progress")[0]
    assert "0 of 10 labels" not in page.text, "the figures of the check and those of now must not stand side by side"


def test_an_older_check_keeps_the_labels_of_its_time(start: Start):
    server = start()
    older = drifted(NOON - timedelta(hours=2), decision=wanting(planned=10, labelled=4, waiting=20))
    add(server.database, older, drifted())
    page = read(server, f"/models/tickets/drift?check={older.id}")
    assert "4 of 10 labels are there, 6 are missing; the rows for them wait." in page.text
    assert "This is an older check" in page.text


def test_labels_are_asked_for_of_the_version_in_production_only(start: Start):
    server = start()
    add(server.database, drifted(decision=wanting(planned=10, waiting=4)))
    assert "Please label" in read(server).text
    server.promote(2)
    page = read(server)
    assert "Version 1 (in production: 2)" in page.text
    assert "Please label" not in page.text
    assert "Stands in the way whether it costs accuracy is not known" in page.text


def test_when_all_labels_are_there_nobody_is_asked_for_more(start: Start):
    server = start()
    add(server.database, drifted(decision=wanting(planned=2)))
    with server.database.write() as session:
        add_predictions(session, [prediction(i, audit=0.1, at=NOON) for i in range(3)])
        for i in range(3):
            said = NewFeedback(prediction_id(i), "tickets", 1, None, True, None, None, "ann", "audit")
            add_feedback(session, said, now=NOON)
    assert "2 of 2 labels are there; the monitor judges them at its next look." in read(server).text


def test_each_chart_says_in_words_what_it_shows(start: Start):
    server = start()
    add(server.database, calm(), drifted())
    told = [svg["aria-label"] for svg in read(server).of("svg") if svg.get("role") == "img"]
    when = "in 2 checks from 2026-11-22 11:00 UTC to 2026-11-22 12:00 UTC"
    assert told == [
        f"embedding {when}: drift score, -log10 of the p-value; 1 reached the alarm line; the newest: p = 0.0004",
        f"length {when}: drift score, -log10 of the p-value; 0 reached the alarm line; the newest: p = 0.5",
        f"estimated accuracy {when}: with 95 % intervals; the newest: 70.0 % (66.0 to 75.0 %)",
        f"labelled accuracy {when}: with 95 % intervals; the newest: 50.0 % (40.0 to 60.0 %)",
    ]


def test_a_check_that_found_something_has_another_shape(start: Start):
    server = start()
    add(server.database, calm(), drifted())
    page = server.get("/models/tickets/drift").text
    embedding = page[page.index('aria-label="embedding') :].partition("</svg>")[0]
    assert embedding.count('<path class="found"') == 1
    assert embedding.count('<circle class="calm"') == 1
    assert "2026-11-22 12:00 UTC: p = 0.0004, found" in embedding


def test_the_table_has_what_changed_most_how_much_and_since_when(start: Start):
    server = start()
    add(server.database, drifted())
    page = read(server)
    assert "embedding ◆ yes length +0.62 0.100 0.0004 0.01 2026-11-22 06:00" in page.text
    assert "length no length +0.10 0.100 0.5 0.01 –" in page.text
    assert page.text.index("embedding ◆ yes") < page.text.index("length no"), "what was found comes first"
    assert all("scope" in cell for cell in page.of("th"))


def test_the_most_telling_inputs_are_shown_and_long_ones_fold(start: Start):
    server = start()
    long, endless = "my parcel " * 100, "x" * 30_000
    rows = [
        prediction(1, input="where is Quibbo?", label="refund", score=0.47),
        prediction(2, input=long),
        prediction(3, input=endless),
    ]
    with server.database.write() as session:
        add_predictions(session, rows)
    telling = [prediction_id(i) for i in (3, 1, 2, 4)]
    add(server.database, drifted(decision={"telling": telling}))
    page = read(server)
    assert "where is Quibbo? answered refund with 47 % confidence" in page.text
    assert page.text.index("x" * 100) < page.text.index("Quibbo") < page.text.index("my parcel")
    assert "1 of 4 are no longer in the store." in page.text
    assert "Whole text, 1,000 letters" in page.text
    assert long.strip() in page.text
    assert "10,000 letters more are in the store." in page.text
    assert "x" * 20_001 not in page.text


def test_what_callers_and_files_said_is_text_and_never_markup(start: Start):
    server = start()
    with server.database.write() as session:
        add_predictions(session, [prediction(1, input=HOSTILE * 10, label=HOSTILE)])
    said = {
        "drift": HOSTILE,
        "telling": [prediction_id(1)],
        "reasons": [HOSTILE, HOSTILE, HOSTILE],
        "run": HOSTILE,
        "action": "retrain",
    }
    signals = {HOSTILE: {**FOUND, "telling": HOSTILE, "since": HOSTILE}}
    add(server.database, drifted(decision=said, kinds=[HOSTILE], signals=signals))
    page = server.get("/models/tickets/drift")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "<img" not in page.text
    assert "{{ 7 * 7 }}" in page.text, "what is filled in is no template"
    assert page.text.count("&lt;script&gt;") >= 10


def test_nothing_on_the_page_needs_what_the_policy_forbids(start: Start):
    server = start()
    add(server.database, calm(), drifted())
    page = server.get("/models/tickets/drift")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"<style|<script|\sstyle=|\son[a-z]+=", page.text)


def test_how_often_it_is_a_false_alarm_is_told_at_the_schedule_in_force(start: Start):
    server = start(check_every_s=7200, false_alarm_rate=0.02, confirm_checks=3)
    add(server.database, calm())
    said = read(server).text
    assert "in at most 2 % of cases. With a check every 2 hours that is one such finding in about 4.2 days" in said
    assert "only when 3 checks in a row find the same signal. By chance that is rarer, but" in said
    assert "A larger reference helps" in said


def test_where_checks_come_faster_than_the_schedule_their_pace_is_told(start: Start):
    server = start(confirm_checks=1)
    add(server.database, *(calm(NOON + timedelta(minutes=6 * i)) for i in range(12)))
    said = read(server).text
    assert "At the pace of the last checks that is one such finding in about 10 hours" in said
    assert "One finding is enough" in said


def test_any_check_of_the_model_can_be_looked_at(start: Start):
    server = start()
    first, second, third = calm(NOON - timedelta(days=2)), calm(), drifted(report="reports/x")
    add(server.database, first, second, third)
    newest = read(server)
    assert f"/drift/{third.id}" in newest.links
    assert {f"/models/tickets/drift?check={one.id}" for one in (first, second, third)} <= newest.links
    page = read(server, f"/models/tickets/drift?check={second.id}")
    assert "No drift" in page.text
    assert "no signal differs" in page.text.lower()
    assert "No report: nothing differed and nobody had asked" in page.text
    arrows = {a["rel"]: a["href"] for a in page.of("a") if "rel" in a}
    assert {rel: href.partition("check=")[2] for rel, href in arrows.items()} == {"prev": first.id, "next": third.id}


def test_a_check_that_is_not_there_or_of_another_model_is_a_404(start: Start):
    server = start()
    other = check("parcels", at=NOON)
    add(server.database, calm(), other)
    problem(server.get("/models/tickets/drift?check=none"), 404, "no check 'none'")
    problem(server.get(f"/models/tickets/drift?check={other.id}"), 404, "'tickets' has no check", "'parcels'")
    problem(server.get("/models/ticket/drift"), 404, "did you mean 'tickets'?")


def test_a_check_without_enough_data_is_no_verdict_but_is_told(start: Start):
    server = start()
    unjudged = check(
        at=NOON + timedelta(hours=1),
        verdict="not_enough_data",
        signals={},
        decision={"drift": "12 of 100 predictions since the last check"},
    )
    add(server.database, drifted(), unjudged)
    page = read(server)
    assert "Drift confirmed" in page.text
    assert "had not enough data: 12 of 100 predictions since the last check." in page.text
    alone = read(server, f"/models/tickets/drift?check={unjudged.id}")
    assert "Not enough data" in alone.text


def test_a_decision_that_came_without_new_traffic_is_the_one_that_is_told(start: Start):
    server = start()
    judged = {"action": "none", "triggers": ["drift"], "blockers": ["no_loss"], "reasons": ["drift", "it is no loss"]}
    later = check(at=NOON + timedelta(hours=1), verdict="not_enough_data", signals={}, decision=judged)
    add(server.database, drifted(decision=wanting(planned=10)), later)
    page = read(server)
    assert "Drift confirmed" in page.text
    assert "What was decided 2026-11-22 13:00 UTC" in page.text
    assert "Stands in the way it is no loss" in page.text
    assert "Please label" not in page.text


def test_what_was_decided_of_another_version_is_not_told_as_if_it_were_of_this_one(start: Start):
    server = start()
    judged = {"action": "none", "triggers": ["drift"], "blockers": ["no_loss"], "reasons": ["drift", "it is no loss"]}
    same = check(at=NOON + timedelta(hours=1), verdict="not_enough_data", signals={}, decision=judged)
    ran = {"action": "retrain", "run": "01a2", "triggers": ["date"], "blockers": [], "reasons": ["the version is old"]}
    other = check(version=2, at=NOON + timedelta(hours=2), verdict="not_enough_data", signals={}, decision=ran)
    add(server.database, drifted(), same, other)
    page = read(server)
    assert "Drift confirmed" in page.text
    assert "A newer check of version 2, of 2026-11-22 14:00 UTC, had not enough data" in page.text
    assert "What was decided 2026-11-22 13:00 UTC" in page.text
    assert "Stands in the way it is no loss" in page.text
    assert "the version is old" not in page.text


def test_no_check_for_long_is_worth_a_word(start: Start):
    server = start()
    add(server.database, calm(datetime(2020, 1, 1, tzinfo=UTC)))
    assert "driftgate monitor does not run" in read(server).text


def test_before_the_first_check_the_page_says_what_is_missing(start: Start):
    server = start()
    page = read(server)
    assert "Never checked Version 1 was registered without validation rows" in page.text
    assert "/models/tickets" in page.links


def test_the_last_checks_are_drawn_and_listed_and_no_more(start: Start):
    server = start()
    add(server.database, *(calm(NOON + timedelta(minutes=i)) for i in range(SHOWN_CHECKS + 5)))
    page = read(server)
    assert f"{SHOWN_CHECKS} checks with enough data, 2026-11-22 12:05 UTC" in page.text
    assert len([row for row in page.links if "?check=" in row]) == SHOWN_CHECKS


@pytest.mark.parametrize(
    "columns",
    [
        {"signals": {"length": {"drifted": True}}, "accuracy": {}, "decision": {}},
        {"signals": {"length": {"drifted": False, "p_value": 0.0}}, "accuracy": {"estimated": {"value": 0.0}}},
        {"verdict": "of_another_release", "kinds": [], "report_deleted_at": NOON},
    ],
)
def test_a_check_of_any_release_can_be_shown(start: Start, columns):
    server = start()
    add(server.database, drifted(**columns))
    read(server)


def test_pages_lead_to_each_other(start: Start):
    server = start()
    shown = drifted()
    add(server.database, shown)
    assert "/models/tickets/drift" in read(server, "/").links
    assert {"/models/tickets/drift", f"/models/tickets/drift?check={shown.id}"} <= read(server, "/models/tickets").links
    assert {"/", "/models/tickets"} <= read(server).links


def test_what_the_monitor_records_is_what_the_page_reads(start: Start, tmp_path):
    """The two never import each other: what binds them is the record."""
    server = start(retrain_min_audit_labels=0, confirm_checks=2)
    with open_monitor_parts(server.settings, clock=HandClock()) as parts:
        world = World(parts, parts.clock, tmp_path / "folders")
        world.deploy("parcels")
        world.answer(40, model="parcels")
        waits = read(server, "/models/parcels/drift")
        assert "No check yet" in waits.text
        assert "100 recorded predictions of version 1; 40 are there." in waits.text
        for source in (DRIFTED, DRIFTED):
            world.answer(300, source, model="parcels", audit=0.5)
            found = run_check(parts, "parcels")
    page = read(server, "/models/parcels/drift")
    assert "Drift confirmed since about 2026-11-02 08:00 UTC" in page.text
    assert found.drift.reason[1:] in page.text
    assert all(f"{kind.replace('_', ' ')} {KINDS[kind]}" in page.text for kind in found.drift.kinds)
    assert all(about in page.text for about in SIGNALS.values())
    assert len([svg for svg in page.of("svg") if svg.get("role") == "img"]) == len(found.signals) + 1
    assert len(page.of("progress")) == 1
    assert page.text.count(" confidence, 2026-11-02 08:00 UTC") == len(found.telling) == 10


@needs_chromium
def test_a_browser_shows_it_at_every_width_and_complains_of_nothing(start: Start, tmp_path):
    server = start()
    with server.database.write() as session:
        add_predictions(session, [prediction(1, input=HOSTILE), prediction(2, input="W" * 5000)])
    telling = {"telling": [prediction_id(1), prediction_id(2)], **wanting(planned=10)}
    add(server.database, *(calm(NOON - timedelta(hours=i)) for i in range(40, 0, -1)), drifted(decision=telling))
    with browser(tmp_path / "profile") as page:
        for path in ("/models/tickets/drift", "/models/tickets", "/"):
            for width in (320, 390, 1280):
                page.open(f"{server.url}{path}", width=width, dark=width == 390)
                assert page.value("document.documentElement.scrollWidth") <= width, (path, width)
                assert "driftgate" in page.value("document.title")
        assert page.complaints == []
        page.open(f"{server.url}/models/tickets/drift")
        assert page.value("document.querySelector('h1').innerText") == "Drift of tickets"
        assert page.value("document.querySelector('.inputs .text').textContent") == HOSTILE
        page.open(f"{server.url}/models/tickets/drift", width=320)
        folded = "document.querySelectorAll('.inputs li')[1].querySelector('.text').getBoundingClientRect().height"
        assert page.value(folded) < 100, "three lines"
        page.value("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.value("document.documentElement.scrollWidth") <= 320
        levels = page.value("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))

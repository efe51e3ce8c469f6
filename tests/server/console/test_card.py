"""The card of a version as a person meets it: over HTTP, in a browser, and as a file."""

from itertools import pairwise
from pathlib import Path

import pytest

from server.console.card_charts import MOST_CELLS, dot_chart, heat_map, reliability_diagram
from server.console.standalone import card_in_one_file
from store.artifacts import open_artifacts
from store.clock import utc_now
from store.database import Database
from store.records import Snapshot
from store.report import REPORT_KIND, save_report
from store.snapshots import add_snapshot
from store.versions import NewVersion, promote, register_version
from tests.browser import browser, needs_chromium
from tests.retrain.reports import made_up_report
from tests.server.conftest import Start
from tests.server.console.test_drift_page import HOSTILE, Words, read
from tests.server.problems import problem


def add_version(server, folder: Path, report: dict, *, labels=("billing", "refund", "delivery"), **columns) -> int:
    """Another version of `tickets` with this report, as a run would register it."""
    folder.mkdir()
    save_report(report, folder)
    artifacts = open_artifacts(server.settings)
    evaluation = {"report": artifacts.put(REPORT_KIND, folder), "gate": {"reason": "better on new rows"}}
    snapshot = Snapshot(
        id="5a" * 32,
        model="tickets",
        parent=None,
        artifact="snapshots/none",
        rows=1_200,
        labels=dict.fromkeys(labels, 400),
        audit={"findings": [{"kind": "near_duplicates", "severity": "warning", "message": HOSTILE, "count": 12}]},
        feedback_until=0,
        created_at=utc_now(),
    )
    with server.database.write() as session:
        add_snapshot(session, snapshot)
        new = NewVersion(
            "tickets", "tiny", "adapters/x", 8, tuple(labels), snapshot=snapshot.id, evaluation=evaluation, **columns
        )
        return register_version(session, new, by="worker", now=utc_now())


def card_of(server, number: int) -> Words:
    return read(server, f"/models/tickets/{number}")


def test_a_card_says_how_good_a_version_is_and_where_it_is_not(start: Start, tmp_path):
    server = start(artifacts_url=None)
    number = add_version(server, tmp_path / "report", made_up_report())
    with server.database.write() as session:
        promote(session, "tickets", number, by="ann", reason="better on refunds", now=utc_now())
    page = card_of(server, number)
    for said in (
        f"tickets, version {number} in production",
        "of 240 test rows are answered rightly",
        "Better than production: +",
        "Against what costs less",
        "always answers 'billing'",
        "What is taken for what",
        "Does 80 % sure mean 80 % right?",
        "audit sample of the traffic",
        "5 % of the letters hit wrongly",
        "One text 4.0 ms median",
        "91.0 MB",
        "near duplicates warning, 12 rows",
        "The gate: better on new rows.",
        "promoted: better on refunds",
        "1,200 rows, 3 labels",
    ):
        assert said in page.text, said
    assert f"/models/tickets/{number}" in read(server, "/models/tickets").links


def test_a_label_that_was_only_answered_hides_nothing_of_the_others(start: Start, tmp_path):
    report = made_up_report()
    weakest, *_ = report["classes"]
    weakest |= {"f1": 0.6, "recall": 0.5}
    only_answered = {"label": "fax", "rows": 0, "f1": 0.0, "precision": 0.0, "recall": 0.0, "production_f1": None}
    report["classes"].insert(0, only_answered)  # where its F1 puts it
    server = start(artifacts_url=None)
    page = card_of(server, add_version(server, tmp_path / "report", report))
    assert "F1 of production" in page.text
    assert f"It is weakest in {weakest['label']}: it finds 50.0 % of its rows." in page.text
    table = page.text[page.text.index("F1 of production") :]
    assert table.index(weakest["label"]) < table.index("fax 0.000 0.000 – 0 –")


@pytest.mark.parametrize(
    ("right", "production", "said"),
    [
        (0.95, 0.7, "Better than production"),
        (0.6, 0.9, "Worse than production"),
        (0.9, 0.9, "Not shown to differ from production"),
        (0.9, None, "Better than TF-IDF"),
    ],
)
def test_the_verdict_is_what_the_interval_allows(start: Start, tmp_path, right, production, said):
    server = start(artifacts_url=None)
    number = add_version(server, tmp_path / "report", made_up_report(right=right, production=production))
    assert said in card_of(server, number).text


def test_a_version_that_was_imported_has_a_card_that_says_what_is_not_known(server):
    page = card_of(server, 1)
    assert "How good it is was not measured here" in page.text
    assert "it brought no test rows" in page.text
    assert "Not known here: it was imported" in page.text
    problem(server.get("/models/tickets/9"), 404, "no version '9'")
    problem(server.get("/models/ticket/1"), 404, "did you mean 'tickets'?")


def test_labels_are_text_and_never_markup_and_texts_are_not_shown(start: Start, tmp_path):
    server = start(artifacts_url=None)
    labels = (HOSTILE, "</title><svg onload=alert(1)>", "W" * 120)
    number = add_version(server, tmp_path / "report", made_up_report(labels), labels=labels)
    answer = server.get(f"/models/tickets/{number}")
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert "onload=alert(1)>" not in answer.text.replace("onload=alert(1)&gt;", "")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "Text 7" not in answer.text


@needs_chromium
def test_a_browser_shows_it_at_every_width_and_complains_of_nothing(start: Start, tmp_path):
    server = start(artifacts_url=None)
    labels = (HOSTILE, "W" * 120, *(f"label {i}" for i in range(40)))
    number = add_version(server, tmp_path / "report", made_up_report(labels, rows=420), labels=labels)
    alone = tmp_path / "card.html"
    alone.write_text(card_of_file(server, number), "utf-8")
    with browser(tmp_path / "profile") as page:
        for url in (f"{server.url}/models/tickets/{number}", f"{server.url}/models/tickets/1", alone.as_uri()):
            for width in (320, 390, 1280):
                page.open(url, width=width, dark=width == 390)
                page.value("document.querySelectorAll('details').forEach(one => one.open = true)")
                assert page.value("document.documentElement.scrollWidth") <= width, (url, width)
                assert page.value("document.title").startswith("tickets")
                levels = page.value("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
                assert levels[0] == 1
                assert all(after - before <= 1 for before, after in pairwise(levels))
        assert page.complaints == []
        page.open(f"{server.url}/models/tickets/{number}")
        assert HOSTILE in page.value("[...document.querySelectorAll('#classes ~ * bdi')].map(b => b.textContent)")
        assert page.value("document.querySelectorAll('svg.chart').length") == 4


def card_of_file(server, number: int) -> str:
    database: Database = server.database
    return card_in_one_file(database, open_artifacts(server.settings), "tickets", number)


def test_a_card_in_one_file_needs_nothing_else(start: Start, tmp_path):
    server = start(artifacts_url=None)
    number = add_version(server, tmp_path / "report", made_up_report())
    page = Words(card_of_file(server, number))
    assert page.links == set()
    assert {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "nav"} == set()
    assert "of 240 test rows are answered rightly" in page.text


def row(name: str, value: float, *, half: float = 0.02) -> dict:
    return {"name": name, "value": value, "low": value - half, "high": value + half, "told": name}


def test_one_that_lies_far_below_does_not_press_the_others_together():
    chart = dot_chart([row("version", 0.95), row("tfidf", 0.9), row("majority", 0.03)])
    version, tfidf, majority = chart.dots
    assert majority.beyond == "3.0 %"
    assert (version.beyond, tfidf.beyond) == ("", "")
    assert version.x - tfidf.x > 100
    assert chart.line == version.x


def test_the_version_itself_is_always_drawn():
    version, *others = dot_chart([row("version", 0.1), row("tfidf", 0.9), row("frozen", 0.92)]).dots
    assert version.beyond == ""
    assert version.x < others[0].x < others[1].x


def test_a_bin_lies_where_its_confidence_and_accuracy_say():
    one = {"confidence": 0.5, "accuracy": 1.0, "low": 0.8, "high": 1.0, "rows": 20}
    (pillar,) = reliability_diagram([one])
    assert (pillar.x, pillar.y) == (144, 8)
    assert pillar.low > pillar.high == pillar.y


def test_of_many_classes_the_heat_map_shows_those_that_are_confused():
    few = heat_map([["a", "a", 8], ["a", "b", 2], ["b", "b", 5]], [])
    assert (few.labels, few.whole) == (("a", "b"), True)
    assert {(cell.x, cell.y): cell.share for cell in few.cells} == {(0, 0): 0.8, (16, 0): 0.2, (16, 16): 1.0}
    labels = [f"l{i}" for i in range(MOST_CELLS + 1)]
    counts = [[label, label, 9] for label in labels] + [["l3", "l7", 1]]
    many = heat_map(counts, [{"true": "l3", "answered": "l7"}])
    assert (many.labels, many.whole) == (("l3", "l7"), False)
    assert heat_map([[label, label, 9] for label in labels], []) is None

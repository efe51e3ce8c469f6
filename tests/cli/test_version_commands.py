import pytest

from store.artifacts import open_artifacts
from store.report import REPORT_KIND, save_report
from store.settings import load_settings
from store.versions import get_version
from tests.retrain.reports import made_up_report


@pytest.fixture
def with_report(with_model, opened, home, tmp_path):
    """Version 2 of `tickets` has a report."""
    folder = tmp_path / "report"
    folder.mkdir()
    save_report(made_up_report(), folder)
    key = open_artifacts(load_settings(home=home)).put(REPORT_KIND, folder)
    with opened.write() as session:
        get_version(session, "tickets", 2).evaluation = {"report": key}


def test_a_report_is_told_in_figures_and_in_a_table(ask, driftgate, with_report):
    found = ask("model", "report", "tickets", 2)
    assert [system["name"] for system in found["systems"]] == ["version", "production", "majority", "tfidf"]
    assert "worth" not in found
    lines = driftgate("model", "report", "tickets", 2).stdout
    assert "production" in lines
    assert "calibration error" in lines


def test_what_a_version_is_worth_is_told_with_its_interval(ask, driftgate, with_report):
    prices = ("--value-per-correct", 0.5, "--predictions-per-day", 1_000)
    found = ask("model", "report", "tickets", 2, *prices)
    difference = found["systems"][1]["difference"]
    assert found["worth"]["against"] == "production"
    assert found["worth"]["per_day"]["value"] == pytest.approx(500 * difference["value"])
    assert found["worth"]["per_day"]["low"] == pytest.approx(500 * difference["low"])
    assert "it earns more" in driftgate("model", "report", "tickets", 2, *prices).stdout


def test_prices_without_a_value_are_refused(driftgate, with_report):
    refused = driftgate("model", "report", "tickets", 2, "--cost-of-label", 1)
    assert refused.exit_code == 2
    assert "--value-per-correct is needed" in refused.output


def test_a_card_is_written_to_one_file(ask, refusal, with_report, tmp_path):
    out = tmp_path / "card.html"
    found = ask("model", "card", "tickets", 2, "--out", out)
    assert found["bytes"] == out.stat().st_size
    assert "240 test rows are answered rightly" in out.read_text("utf-8")
    assert "cannot write" in refusal("model", "card", "tickets", 2, "--out", tmp_path / "none" / "card.html")


def test_a_version_without_a_report_says_why(refusal, with_model):
    assert "has no report: it was imported" in refusal("model", "report", "tickets", 1)

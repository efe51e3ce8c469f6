import json
from pathlib import Path

import numpy as np
import pytest

from retrain.report import summarise
from retrain.robustness import choose_rows, measure_robustness
from store.errors import ArtifactCorrupt, SchemaMismatch
from store.report import load_report, save_report
from tests.retrain.reports import made_up_report


def test_a_report_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    report = made_up_report()
    save_report(report, tmp_path)
    assert load_report(tmp_path) == json.loads(json.dumps({"schema": 1, **report}))


def test_a_report_of_another_release_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    save_report({"schema": 2}, tmp_path)
    with pytest.raises(SchemaMismatch, match="has schema 2, this driftgate reads 1"):
        load_report(tmp_path)
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(ArtifactCorrupt, match="cannot be read"):
        load_report(tmp_path)


def test_a_report_holds_labels_and_no_texts() -> None:
    assert "Text 7" not in json.dumps(made_up_report())


def test_all_are_measured_on_the_same_rows_and_compared_with_the_version() -> None:
    report = made_up_report()
    own, production, majority, tfidf = report["systems"]
    assert [system["name"] for system in report["systems"]] == ["version", "production", "majority", "tfidf"]
    assert own["difference"] is None
    for other in (production, majority, tfidf):
        found = other["difference"]
        assert found["value"] == pytest.approx(own["accuracy"]["value"] - other["accuracy"]["value"])
        assert found["won"] - found["lost"] == round(found["value"] * 240)
        assert found["low"] < found["value"] < found["high"]
        wider = other["difference_macro_f1"]
        assert wider["low"] < wider["value"] < wider["high"]
    assert majority["accuracy"]["value"] == pytest.approx(1 / 3)
    assert production["roc_auc"] is None, "nothing is known of its confidence here"


def test_the_confusion_holds_every_row_once() -> None:
    report = made_up_report()
    assert sum(count for _, _, count in report["confusion"]) == 240
    own = dict.fromkeys(report["labels"], 0)
    for true, answer, count in report["confusion"]:
        own[true] += count * (true == answer)
    recall = {one["label"]: one["recall"] for one in report["classes"]}
    assert {label: hits / 80 for label, hits in own.items()} == pytest.approx(recall)
    assert [one["f1"] for one in report["classes"]] == sorted(one["f1"] for one in report["classes"])
    worst = report["confused"][0]
    assert worst["rows"] == max(count for true, answer, count in report["confusion"] if true != answer)


def test_a_first_version_is_compared_with_baselines_alone() -> None:
    report = made_up_report(production=None)
    assert [system["name"] for system in report["systems"]] == ["version", "majority", "tfidf"]
    assert {one["production_f1"] for one in report["classes"]} == {None}
    assert set(summarise(report)["baselines"]) == {"majority", "tfidf"}


def test_the_summary_says_in_a_few_figures_what_the_report_says() -> None:
    report = made_up_report()
    found = summarise(report)
    assert found["baselines"]["production"]["accuracy"] == report["systems"][1]["accuracy"]["value"]
    low, high = found["macro_f1_interval"]
    assert low < report["systems"][0]["macro_f1"]["value"] < high


def test_only_texts_that_a_change_touches_are_asked_again() -> None:
    asked: list[str] = []

    def answer(texts: list[str]) -> list[str]:
        asked.extend(texts)
        return ["b"] * len(texts)

    found = measure_robustness(answer, ["where is it", "WHERE?"], ["a", "a"], ["a", "a"], seed=0)
    by_name = {one.name: one for one in found.changes}
    assert (by_name["upper_case"].touched, by_name["upper_case"].changed) == (1, 0.5)
    assert (by_name["no_punctuation"].touched, by_name["no_punctuation"].accuracy) == (1, 0.5)
    assert "WHERE IS IT" in asked
    assert "where is it" not in asked


def test_as_many_rows_are_perturbed_as_the_time_allows() -> None:
    assert len(choose_rows(np.full(5_000, 10), changes=4, seed=0)) == 500
    assert len(choose_rows(np.full(5_000, 500), changes=4, seed=0)) == 15
    assert choose_rows(np.full(3, 100_000), changes=4, seed=0).shape == (1,)
    assert choose_rows(np.full(30, 10), changes=4, seed=0).tolist() == list(range(30))

"""The five dashboards are what their source builds, and are about things that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.dashboards import lines
from observability.dashboards.build import built, write
from observability.dashboards.dashboard import PAGE_WIDTH
from store.settings import Settings
from tests import card_files as card
from tests.card_metrics import KNOWN, OURS, TARGET_LABELS, assert_speaks_of_what_exists, families
from tests.card_promql import as_asked, spoken_of
from tests.promtool import needs_promtool, run_promtool

DASHBOARDS = card.dashboards()
QUERIES = card.queries()
every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
every_query = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())


def chosen_models(dashboard: dict[str, Any]) -> dict[str, Any] | None:
    """The variable by which the reader chooses, if the dashboard has one."""
    return next((v for v in dashboard["templating"]["list"] if v["name"] == "model"), None)


# Files


def test_the_files_are_what_the_source_builds() -> None:
    committed = {path.name: path.read_text() for path in card.DASHBOARDS.iterdir()}
    assert committed == built(), "run `make dashboards`"


def test_building_leaves_no_dashboard_behind_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "driftgate-gone.json").write_text("{}")
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(built())


def test_a_dashboard_for_each_question_of_the_watcher() -> None:
    page = (card.ROOT / "docs" / "watcher.md").read_text()
    told = dict(re.findall(r"^\| (\w+) \| ([^|]+\?) \|", page, flags=re.MULTILINE))
    titles = {one["title"].removeprefix("driftgate / "): one["description"] for one in DASHBOARDS.values()}
    assert list(told) == ["fleet", "model", "drift", "rollout", "capacity"]
    assert set(titles) == set(told)
    for name, question in titles.items():
        assert question.lower().startswith(told[name].rstrip("?")), f"{name}: {question!r} against {told[name]!r}"


@pytest.mark.parametrize(("name", "dashboard"), DASHBOARDS.items(), ids=DASHBOARDS.keys())
def test_a_file_is_named_for_its_dashboard(name: str, dashboard: dict[str, Any]) -> None:
    assert name == f"{dashboard['uid']}.json"
    assert dashboard["uid"].startswith("driftgate-"), "Grafana's sidecar puts everybody's into one folder"


# Queries


@every_query
def test_a_query_speaks_of_metrics_and_labels_that_exist(query: card.PanelQuery) -> None:
    assert_speaks_of_what_exists(query.expr)


def test_a_query_of_nothing_is_found() -> None:
    for wrong in ("sum(driftgate_requests)", 'driftgate_requests_total{status="200"}', "sum by (base) (up)"):
        with pytest.raises(AssertionError):
            assert_speaks_of_what_exists(wrong)


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {metric for query in QUERIES.values() for metric in spoken_of(query.expr).metrics}
    assert families(shown & set(OURS)) == families(OURS)


@every_query
def test_a_legend_shows_labels_that_the_query_keeps(query: card.PanelQuery) -> None:
    assert query.legend
    assert set(re.findall(r"{{(\w+)}}", query.legend)) <= spoken_of(query.expr).grouping | TARGET_LABELS


@every_query
def test_a_query_is_limited_to_the_chosen_models_where_its_metric_knows_them(query: card.PanelQuery) -> None:
    choice = chosen_models(DASHBOARDS[query.dashboard])
    if choice is None:
        assert "$model" not in query.expr
        return
    for metric, labels in spoken_of(query.expr).metrics.items():
        assert ("model" in labels) == ("model" in KNOWN[metric]), metric
    if "$model" in query.expr:
        wanted = 'model=~"$model"' if choice["multi"] else 'model="$model"'
        assert query.expr.count("$model") == query.expr.count(wanted), "several models are one regular expression"


@needs_promtool
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{i}", "expr": as_asked(query.expr, model="tickets")}
        for i, query in enumerate(QUERIES.values())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    run_promtool("check", "rules", file)


# Panels


@every_dashboard
def test_panels_have_units_and_the_chosen_data_source(dashboard: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for panel in card.panels(dashboard):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"


@every_dashboard
def test_models_to_choose_from_are_those_of_a_metric(dashboard: dict[str, Any]) -> None:
    choice = chosen_models(dashboard)
    if choice is not None:
        listed = re.fullmatch(r"label_values\((\w+), model\)", choice["definition"])
        assert listed is not None
        assert "model" in OURS[listed[1]]
        assert choice["query"]["query"] == choice["definition"]
        assert choice["multi"] == choice["includeAll"]


@every_dashboard
def test_no_two_panels_share_a_title_an_id_or_a_place(dashboard: dict[str, Any]) -> None:
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)
    places: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in own) < PAGE_WIDTH
        assert not own & places, f"{panel['title']} lies over another panel"
        places |= own


def test_a_title_means_one_panel_wherever_it_stands() -> None:
    meant: dict[str, tuple[str, str, str]] = {}
    for dashboard in DASHBOARDS.values():
        for panel in card.panels(dashboard):
            means = (panel["type"], panel["description"], panel["fieldConfig"]["defaults"]["unit"])
            assert meant.setdefault(panel["title"], means) == means, panel["title"]


@every_dashboard
def test_a_panel_says_what_it_shows_and_where_to_read_on(dashboard: dict[str, Any]) -> None:
    anchors = {heading.lower() for heading in re.findall(r"^## (.+)$", card.RUNBOOKS.read_text(), flags=re.MULTILINE)}
    for panel in card.panels(dashboard):
        assert len(panel["description"]) > len(panel["title"]), panel["title"]
        assert set(re.findall(r"docs/runbooks\.md#(\w+)", panel["description"])) <= anchors


def test_every_alert_has_a_panel_that_leads_to_its_runbook() -> None:
    told = " ".join(panel["description"] for one in DASHBOARDS.values() for panel in card.panels(one))
    assert {alert for alert in card.alerts() if f"docs/runbooks.md#{alert.lower()}" not in told} == set()


def test_runbooks_name_panels_that_exist() -> None:
    text = " ".join(card.RUNBOOKS.read_text().split())
    panels = [panel for dashboard in DASHBOARDS.values() for panel in card.panels(dashboard)]
    named = set(re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", text))
    assert named
    assert named <= {panel["title"].removesuffix(", all models") for panel in panels}


# Links


def _links(found: Any) -> list[str]:
    """Every URL below, however deep."""
    if isinstance(found, dict):
        own = [found["url"]] if isinstance(found.get("url"), str) else []
        return own + [url for value in found.values() for url in _links(value)]
    return [url for value in found for url in _links(value)] if isinstance(found, list) else []


@every_dashboard
def test_links_lead_to_the_other_dashboards_with_what_these_can_show(dashboard: dict[str, Any]) -> None:
    by_uid = {one["uid"]: one for one in DASHBOARDS.values()}
    assert {link["title"] for link in dashboard["links"]} == {
        one["title"].removeprefix("driftgate / ") for one in by_uid.values() if one is not dashboard
    }
    for url in _links(dashboard):
        path = re.match(r"/d/([\w-]+)\?", url)
        assert path is not None, url
        choice = chosen_models(by_uid[path[1]])
        if "var-model=" in url:
            assert choice is not None, url
        if "model:queryparam" in url:
            assert chosen_models(dashboard) is not None, url
            assert choice is not None, url
            assert choice["multi"], "what was chosen may be all of them"


def test_a_model_of_the_fleet_leads_to_that_model() -> None:
    (models,) = [panel for panel in card.panels(DASHBOARDS["driftgate-fleet.json"]) if panel["title"] == "Models"]
    (column,) = [one for one in models["fieldConfig"]["overrides"] if one["matcher"]["options"] == "Model"]
    ((link,),) = [one["value"] for one in column["properties"] if one["id"] == "links"]
    assert link["url"].startswith("/d/driftgate-model?var-model=${__value.raw}&")


# Tables


@pytest.mark.parametrize(
    "panel",
    [panel for one in DASHBOARDS.values() for panel in card.panels(one) if panel["type"] == "table"],
    ids=lambda panel: panel["title"],
)
def test_a_table_names_its_columns_and_forgets_no_query(panel: dict[str, Any]) -> None:
    organized = next(one["options"] for one in panel["transformations"] if one["id"] == "organize")
    columns = set(organized["renameByName"].values())
    assert {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]} <= columns
    values = {f"Value #{target['refId']}" for target in panel["targets"]}
    assert values <= set(organized["renameByName"]) | set(organized["excludeByName"])
    kept = set.intersection(*(spoken_of(target["expr"]).grouping for target in panel["targets"]))
    assert {name for name in organized["renameByName"] if not name.startswith("Value")} <= kept


# Lines


def test_lines_are_the_figures_of_the_alerts() -> None:
    rules = card.alerts()
    for alert, figure in {
        "DriftgateErrorRatioHigh": f"> {lines.ERROR_SHARE}",
        "DriftgateRequestsRefused": f"> {lines.REFUSED_SHARE}",
        "DriftgateLatencyHigh": f"> {lines.LATENCY_S}",
        "DriftgateQueueFilling": f"> {lines.QUEUE_SHARE}",
        "DriftgateAdaptersThrash": f"< {lines.HIT_RATIO}",
        "DriftgateAccuracyLow": f"< {lines.ACCURACY_KEPT} *",
        "DriftgateChecksLate": f"> {lines.SINCE_CHECK_S:.0f} ",
        "DriftgateReviewQueueLong": f"> {lines.REVIEW_QUEUE:.0f}",
    }.items():
        assert figure in rules[alert]["expr"], alert


def test_the_line_of_the_drift_score_is_the_false_alarm_rate() -> None:
    false_alarm_rate = Settings.model_fields["false_alarm_rate"].default
    assert false_alarm_rate == pytest.approx(10**-lines.DRIFT_SCORE)
    panels = [p for one in DASHBOARDS.values() for p in card.panels(one) if p["title"] == "Drift score by signal"]
    assert panels
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1] == {
            "color": "red",
            "value": lines.DRIFT_SCORE,
        }
        assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] == "dashed"


@every_dashboard
def test_a_figure_in_large_print_is_painted_by_our_thresholds_or_names(dashboard: dict[str, Any]) -> None:
    for panel in card.panels(dashboard):
        if panel["type"] in ("stat", "bargauge"):
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"], "or Grafana paints what is above 80 red"

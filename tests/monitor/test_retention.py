from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import fsspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from monitor.retention import clean_reports, reports_to_retire
from store.checks import KeptReport, get_check, retired_reports
from store.errors import StoreUnavailable
from store.records import Check
from tests.monitor.conftest import MakeWorld, World
from tests.threads import all_at_once

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["folder", "object store"])
def world(request: pytest.FixtureRequest, make_world: MakeWorld) -> Iterator[World]:
    bucket = fsspec.filesystem("memory")
    bucket.store.clear()
    yield make_world(artifacts_url="memory://bucket/driftgate" if request.param == "object store" else None)
    bucket.store.clear()


def record_of(world: World, check: str) -> Check:
    with world.parts.database.read() as session:
        return get_check(session, check)


def still_to_delete(world: World) -> list[str]:
    with world.parts.database.read() as session:
        return retired_reports(session)


@st.composite
def some_reports(draw: st.DrawFn) -> list[KeptReport]:
    """Of up to three models, recorded in any order of time: clocks are set back at times."""
    drawn = draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 400)), max_size=30))
    return [
        KeptReport(f"check-{seq}", model, seq, NOW - timedelta(days=days)) for seq, (model, days) in enumerate(drawn)
    ]


@given(reports=some_reports(), keep_days=st.integers(1, 400))
def test_what_goes_is_old_and_what_stays_is_young_or_the_newest_of_its_model(
    reports: list[KeptReport], keep_days: int
) -> None:
    keep = timedelta(days=keep_days)
    gone = reports_to_retire(reports, keep=keep, now=NOW)
    newest = {report.model: report for report in reports}
    assert all(NOW - report.at > keep for report in gone)
    assert set(gone).isdisjoint(newest.values())
    for report in set(reports) - set(gone):
        assert NOW - report.at <= keep or report == newest[report.model]


@given(
    reports=some_reports().flatmap(lambda made: st.tuples(st.just(made), st.permutations(made))),
    keep_days=st.integers(1, 400),
    more_days=st.integers(0, 400),
)
def test_what_goes_depends_on_no_order_goes_once_and_would_go_later(
    reports: tuple[list[KeptReport], list[KeptReport]], keep_days: int, more_days: int
) -> None:
    made, shuffled = reports
    keep = timedelta(days=keep_days)
    gone = set(reports_to_retire(made, keep=keep, now=NOW))
    assert set(reports_to_retire(shuffled, keep=keep, now=NOW)) == gone
    assert reports_to_retire([report for report in made if report not in gone], keep=keep, now=NOW) == []
    assert gone <= set(reports_to_retire(made, keep=keep, now=NOW + timedelta(days=more_days)))


def test_an_old_report_goes_and_its_figures_stay(world: World) -> None:
    old, old_page = world.keep_report(days_old=91)
    young, young_page = world.keep_report(days_old=90)
    newest, newest_page = world.keep_report(days_old=0)
    clean_reports(world.parts)
    record = record_of(world, old)
    assert (record.report, record.report_deleted_at) == (None, world.clock())
    assert record.signals["length"]["p_value"] == 0.5
    assert [record_of(world, check).report for check in (young, newest)] == [young_page, newest_page]
    assert [world.has_artifact(page) for page in (old_page, young_page, newest_page)] == [False, True, True]
    assert still_to_delete(world) == []


def test_how_long_reports_stay_is_a_setting(make_world: MakeWorld) -> None:
    world = make_world(reports_keep_days=7)
    (_, old), (_, young), _ = (world.keep_report(days_old=days) for days in (8, 6, 0))
    clean_reports(world.parts)
    assert [world.has_artifact(page) for page in (old, young)] == [False, True]


def test_the_newest_report_of_each_model_stays_however_old(world: World) -> None:
    kept = [world.keep_report(days_old=200), world.keep_report(days_old=400, model="mails")]
    world.keep_report(days_old=1, model="letters")
    for _ in range(2):
        clean_reports(world.parts)
    assert [record_of(world, check).report for check, _ in kept] == [page for _, page in kept]
    assert all(world.has_artifact(page) for _, page in kept)


def test_a_page_of_two_checks_goes_with_the_second(world: World) -> None:
    first, page = world.keep_report(days_old=100, page="the same")
    second, same = world.keep_report(days_old=85, page="the same")
    world.keep_report(days_old=0)
    assert page == same
    clean_reports(world.parts)
    assert (record_of(world, first).report, record_of(world, second).report) == (None, page)
    assert world.has_artifact(page)
    world.clock.advance(days=6)
    clean_reports(world.parts)
    assert record_of(world, second).report is None
    assert not world.has_artifact(page)


@pytest.mark.parametrize(
    "step",
    ["monitor.retention.retire_reports", "store.artifacts.ArtifactStore.delete", "monitor.retention.forget_retired"],
)
def test_a_round_that_is_killed_leaves_no_record_without_its_page_and_the_next_one_ends_it(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    pages = [world.keep_report(days_old=days)[1] for days in (95, 92, 0)]
    with monkeypatch.context() as patch:
        patch.setattr(step, killed)
        with pytest.raises(KeyboardInterrupt):
            clean_reports(world.parts)
    assert all(world.has_artifact(check.report) for check in world.checks() if check.report is not None)
    clean_reports(world.parts)
    assert [world.has_artifact(page) for page in pages] == [False, False, True]
    assert still_to_delete(world) == []


def test_an_object_store_that_is_away_is_told_and_asked_again_in_the_next_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("no answer")

    (_, page), _ = world.keep_report(days_old=91), world.keep_report(days_old=0)
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr("store.artifacts.ArtifactStore.delete", away)
        clean_reports(world.parts)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("reports_not_deleted", "error")]
    assert still_to_delete(world) == [page]
    with structlog.testing.capture_logs() as logs:
        clean_reports(world.parts)
        clean_reports(world.parts)
    assert [(entry["event"], entry["artifacts"]) for entry in logs] == [("reports_deleted", 1)]
    assert not world.has_artifact(page)


def test_more_reports_than_one_transaction_takes_all_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.retention._BATCH", 2)
    pages = [world.keep_report(days_old=days)[1] for days in (95, 94, 93, 92, 91, 0)]
    clean_reports(world.parts)
    assert [world.has_artifact(page) for page in pages] == [False] * 5 + [True]
    assert still_to_delete(world) == []


def test_two_monitors_may_clean_at_the_same_moment(make_world: MakeWorld) -> None:
    world = make_world()
    pages = [world.keep_report(days_old=days)[1] for days in (93, 92, 91, 0)]
    with structlog.testing.capture_logs() as logs:
        assert all_at_once([lambda: clean_reports(world.parts)] * 3) == [None] * 3
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert [world.has_artifact(page) for page in pages] == [False, False, False, True]
    assert still_to_delete(world) == []


def test_what_is_no_artifact_is_told_once_and_keeps_nothing_else_from_going(make_world: MakeWorld) -> None:
    world = make_world()
    odd, _ = world.keep_report(days_old=92)
    with world.parts.database.write() as session:
        get_check(session, odd).report = ""
    (_, page), _ = world.keep_report(days_old=91), world.keep_report(days_old=0)
    with structlog.testing.capture_logs() as logs:
        clean_reports(world.parts)
        clean_reports(world.parts)
    assert [entry["event"] for entry in logs] == ["report_not_deleted", "reports_deleted"]
    assert not world.has_artifact(page)

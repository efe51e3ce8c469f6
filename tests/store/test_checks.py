from datetime import timedelta

from store.checks import (
    KeptReport,
    add_check,
    forget_retired,
    get_check,
    kept_reports,
    retire_reports,
    retired_reports,
    shown_reports,
)
from store.database import Database
from tests.store.conftest import NOW
from tests.store.rows import check

LATER = NOW + timedelta(days=100)


def add(database: Database, **columns: object) -> str:
    """A check; returns its id."""
    row = check(**columns)
    with database.write() as session:
        add_check(session, row)
    return row.id


def retire(database: Database, *checks: str) -> None:
    with database.write() as session:
        retire_reports(session, checks, now=LATER)


def test_reports_that_are_there_are_listed_as_they_came(database):
    first = add(database, report="reports/a", at=NOW)
    add(database, report=None)
    second = add(database, model="mails", report="reports/b", at=LATER)
    with database.read() as session:
        kept = kept_reports(session)
    assert kept == [
        KeptReport(first, "tickets", kept[0].seq, NOW),
        KeptReport(second, "mails", kept[1].seq, LATER),
    ]
    assert kept[0].seq < kept[1].seq


def test_a_retired_report_is_out_of_sight_until_nothing_is_left_of_it(database):
    old, new = add(database, report="reports/a"), add(database, report="reports/b")
    retire(database, old)
    with database.read() as session:
        row = get_check(session, old)
        assert (row.report, row.report_retired, row.report_deleted_at) == (None, "reports/a", LATER)
        assert row.signals, "the figures stay"
        assert [kept.check for kept in kept_reports(session)] == [new]
        assert retired_reports(session) == ["reports/a"]
    with database.write() as session:
        forget_retired(session, ["reports/a", "reports/b"])
    with database.read() as session:
        assert retired_reports(session) == []
        assert get_check(session, old).report_deleted_at == LATER
        assert get_check(session, new).report == "reports/b"


def test_a_report_is_retired_once(database):
    never, once = add(database, report=None), add(database, report="reports/a")
    retire(database, never, once)
    with database.write() as session:
        retire_reports(session, [never, once], now=LATER + timedelta(days=1))
    with database.read() as session:
        assert get_check(session, never).report_deleted_at is None
        row = get_check(session, once)
        assert (row.report_retired, row.report_deleted_at) == ("reports/a", LATER)


def test_a_page_of_two_checks_is_known_to_be_shown_still(database):
    first, second = add(database, report="reports/a"), add(database, report="reports/a")
    retire(database, first)
    with database.read() as session:
        assert shown_reports(session, ["reports/a", "reports/b"]) == {"reports/a"}
    retire(database, second)
    with database.read() as session:
        assert retired_reports(session) == ["reports/a"], "each artifact once"
        assert shown_reports(session, ["reports/a"]) == set()

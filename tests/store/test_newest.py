"""What the monitor asks of the store costs the same however much was recorded (design, section 11)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

import store.review
from store.checks import add_check, last_checks
from store.database import Database
from store.feedback import audit_rows_since, audit_verdicts, count_labelled, last_feedback_seq
from store.predictions import add_predictions, count_sampled, first_sampled, newest_window
from store.records import Check, Feedback
from store.review import count_unlabelled_audit, next_to_review
from tests.store.conftest import NOW
from tests.store.rows import check, prediction
from tests.store.work import work_for

OLD_ROWS = 200
"""Of version 1, recorded first and checked then; after a rollback it is in production again."""

QUESTIONS: dict[str, Callable[[Session], object]] = {
    "the window of a version that was rolled back to": lambda s: newest_window(s, "tickets", 1, rows=40),
    "its window where nothing is new": lambda s: newest_window(s, "tickets", 1, rows=40, after_seq=OLD_ROWS),
    "the window of the version that got the traffic": lambda s: newest_window(s, "tickets", 2, rows=40),
    "what a version answered first": lambda s: first_sampled(s, "tickets", 1, rows=40),
    "what another version answered first": lambda s: first_sampled(s, "tickets", 2, rows=40),
    "the window of a version that never answered": lambda s: newest_window(s, "tickets", 3, rows=40),
    "how much is new of it": lambda s: count_sampled(s, "tickets", 2, at_most=40),
    "how much is new of what was rolled back to": lambda s: count_sampled(
        s, "tickets", 1, at_most=40, after_seq=OLD_ROWS
    ),
    "reviews of a version that was rolled back to": lambda s: audit_verdicts(s, "tickets", 1, rows=20),
    "reviews of the version that got the traffic": lambda s: audit_verdicts(s, "tickets", 2, rows=20),
    "reviews of a version that never answered": lambda s: audit_verdicts(s, "tickets", 3, rows=20),
    "how many labels are new": lambda s: count_labelled(s, "tickets", after_seq=0, at_most=30),
    "how many of them from the audit sample": lambda s: count_labelled(
        s, "tickets", after_seq=0, at_most=30, audit=True
    ),
    "the last verdict": lambda s: last_feedback_seq(s, "tickets"),
    "the last verdict on a model that nobody asks any more": lambda s: last_feedback_seq(s, "forgotten"),
    "what waits for a review": lambda s: count_unlabelled_audit(s, "tickets"),
    "what is to be reviewed next": lambda s: next_to_review(s, "tickets", 2, rows=20),
    "what a drift asks of a version that was rolled back to": lambda s: next_to_review(s, "tickets", 1, rows=20),
    "what is to be reviewed of a model that nobody asks any more": lambda s: next_to_review(s, "forgotten", 1, rows=20),
    "the first rows of a version since a drift": lambda s: audit_rows_since(s, "tickets", 2, since=NOW, rows=20),
    "the first rows of a version that answers few": lambda s: audit_rows_since(
        s, "tickets", 1, since=NOW + timedelta(seconds=OLD_ROWS // 2), rows=40
    ),
    "the last checks": lambda s: last_checks(s, "tickets", version=2, limit=2, decided=True),
    "the last checks of a version that was rolled back to": lambda s: last_checks(s, "tickets", version=1, limit=2),
    "the last checks of a version without any": lambda s: last_checks(s, "tickets", version=3, limit=2, decided=True),
    "the last checks of a model": lambda s: last_checks(s, "tickets", limit=2),
}


@pytest.fixture
def recorded(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(store.review, "REVIEWED_ROWS", 20)
    _record(database, "tickets", 1, range(OLD_ROWS))
    _record(database, "forgotten", 1, range(40))
    wanted = {"planned": 10, "labelled": 0, "waiting": 0, "since": NOW.isoformat()}
    with database.write() as session:
        add_check(session, check(verdict="drift", decision={"labels_wanted": wanted}))
    return database


def test_a_question_of_the_monitor_costs_the_same_however_much_was_recorded(recorded: Database) -> None:
    _record(recorded, "tickets", 2, range(300))
    before = _costs(recorded)
    _record(recorded, "tickets", 2, range(1_000, 5_000))
    _record(recorded, "mails", 1, range(1_000))
    after = _costs(recorded)
    grown = {question: (before[question], cost) for question, cost in after.items() if cost > before[question] + 150}
    assert grown == {}, "work before and after 5,000 more rows"


def test_a_question_without_an_index_shows(recorded: Database) -> None:
    """Or else the test above could not fail."""

    def ask(session: Session) -> object:
        return session.execute(text("SELECT count(*) FROM predictions WHERE latency_s > 3600")).all()

    before = work_for(recorded, ask)
    _record(recorded, "tickets", 2, range(1_000))
    assert work_for(recorded, ask) > before + 500


def _costs(database: Database) -> dict[str, int]:
    if database.engine.dialect.name == "postgresql":  # what its autovacuum does by and by
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))
    return {question: work_for(database, ask) for question, ask in QUESTIONS.items()}


def _record(database: Database, model: str, version: int, numbers: range) -> None:
    """Predictions, every fifth of them drawn, every tenth reviewed; flags on others; a check for every twenty."""
    rows = [
        prediction(i, model=model, version=version, audit=0.2 if i % 5 == 0 else None, at=NOW + timedelta(seconds=i))
        for i in numbers
    ]
    origins = {0: "audit", 1: "flagged", 3: "flagged"}
    feedback = [
        {
            "id": row.id[-60:],
            "dedup": row.id[-60:],
            "prediction_id": row.id,
            "model": model,
            "version": version,
            "label": "refund",
            "by": "ann",
            "origin": origins[i % 10],
            "at": NOW,
        }
        for i, row in zip(numbers, rows, strict=True)
        if i % 10 in origins
    ]
    checks = [
        {
            "id": row.id[-60:],
            "model": model,
            "version": version,
            "verdict": "stable",
            "kinds": [],
            "signals": {},
            "window_rows": 20,
            "window_from": 0,
            "window_until": 0,
            "reference_rows": 100,
            "accuracy": {},
            "decision": {},
            "at": NOW,
        }
        for row in rows[::20]
    ]
    with database.write() as session:
        add_predictions(session, rows)
        session.execute(insert(Feedback), feedback)
        session.execute(insert(Check), checks)

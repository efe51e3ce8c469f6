from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import delete, select

import store.review
from store.checks import add_check
from store.feedback import add_feedback, audit_rows_since, audit_verdicts, count_labelled, labelled_rows
from store.predictions import NewPrediction, add_predictions
from store.records import Prediction
from store.review import ReviewList, count_unlabelled_audit, is_drawn, next_to_review, skip_review
from tests.store.conftest import NOW
from tests.store.rows import check, prediction, prediction_id, verdict
from tests.threads import all_at_once


def drawn(number: int, **fields) -> NewPrediction:
    return prediction(number, **{"audit": 0.5, "at": NOW + timedelta(seconds=number), **fields})


def record(database, *rows: NewPrediction) -> list[str]:
    with database.write() as session:
        add_predictions(session, rows)
    return [row.id for row in rows]


def ask_for(database, planned: int, *, since: int = 0, version: int = 1) -> None:
    """As a drift check does, with figures that are out of date by the time somebody looks."""
    wanted = {"planned": planned, "labelled": 0, "waiting": 0, "since": (NOW + timedelta(seconds=since)).isoformat()}
    with database.write() as session:
        add_check(session, check(version=version, verdict="drift", decision={"labels_wanted": wanted}))


def say(database, prediction: str, **said) -> None:
    new = verdict(prediction_id=prediction, **{"version": int(prediction.split(":")[1]), "origin": "audit", **said})
    with database.write() as session:
        add_feedback(session, new, now=NOW)


def skip(database, prediction: str, by: str = "ann", reason: str | None = None):
    with database.write() as session:
        row, is_new = skip_review(session, prediction, by=by, reason=reason, now=NOW)
        return (row.skipped_by, row.skip_reason, row.skipped_at), is_new


def listed(database, production: int | None = 1, rows: int = 200) -> ReviewList:
    with database.read() as session:
        return next_to_review(session, "tickets", production, rows=rows)


def ids(found: ReviewList) -> list[str]:
    return [row.id for row in found.rows]


def waiting(database) -> int:
    with database.read() as session:
        return count_unlabelled_audit(session, "tickets")


def test_without_a_wish_the_newest_rows_come_first_whichever_version_answered(database):
    old = record(database, drawn(1), drawn(2), drawn(3, version=2), drawn(4, version=3))
    record(database, prediction(9), drawn(5, model="mails"))
    found = listed(database)
    assert (found.wanted, ids(found)) == (None, old[::-1])
    assert ids(listed(database, production=None, rows=2)) == old[:1:-1]


def test_what_a_drift_check_asks_for_comes_first_and_oldest_first(database):
    rows = record(database, *(drawn(i) for i in range(8)), drawn(8, version=2))
    ask_for(database, 2, since=3)
    assert ids(listed(database, rows=3)) == rows[3:6]
    assert ids(listed(database)) == [*rows[3:7], rows[8], rows[7], *rows[2::-1]], "then the newest, each row once"


def test_the_wish_is_that_of_the_newest_check_of_the_version_in_production(database):
    record(database, *(drawn(i) for i in range(4)))
    ask_for(database, 1, since=1)
    assert listed(database, production=2).wanted is None
    with database.write() as session:
        add_check(session, check())
    assert listed(database).wanted is None


def test_once_the_wish_is_met_nothing_more_is_asked_first(database):
    rows = record(database, *(drawn(i) for i in range(6)))
    ask_for(database, 2)
    for one in rows[:2]:
        say(database, one, correct=True)
    found = listed(database)
    assert found.wanted is not None
    assert (found.wanted.planned, found.wanted.labelled, found.wanted.waiting) == (2, 2, 2)
    assert ids(found) == rows[:1:-1]


@pytest.mark.parametrize("seed", range(12))
def test_handed_out_first_are_exactly_the_rows_that_the_measurement_waits_for(database, seed):
    chance = Random(seed)
    made = [drawn(i, version=chance.choice([1, 1, 2]), at=NOW + timedelta(seconds=i // 3)) for i in range(90)]
    record(database, *made, *(prediction(200 + i, at=NOW + timedelta(seconds=i)) for i in range(20)))
    since, planned = chance.randrange(20), chance.randrange(1, 25)
    ask_for(database, planned, since=since)
    closed, gone = set(), set()
    for row in made:
        happens = chance.choice(["review", "wrong", "skip", "both", "flag", "gone", *["nothing"] * 9])
        if happens in ("review", "both"):
            say(database, row.id, label=chance.choice(["billing", "refund"]))
        if happens == "wrong":
            say(database, row.id, correct=False)
        if happens in ("skip", "both"):
            skip(database, row.id)
        if happens == "flag":
            say(database, row.id, label="refund", origin="flagged")
        if happens == "gone":
            gone.add(row.id)
        elif happens not in ("nothing", "flag"):
            closed.add(row.id)
    with database.write() as session:
        session.execute(delete(Prediction).where(Prediction.id.in_(gone)))

    start = NOW + timedelta(seconds=since)
    of_version = sorted((row.at, row.id) for row in made if row.version == 1 and row.at >= start and row.id not in gone)
    looked_at = [one for _, one in of_version[: 2 * planned]]
    first = [one for one in looked_at if one not in closed]
    others = {row.id for row in made} - closed - gone - set(first)

    def measured():
        with database.read() as session:
            drawn = audit_rows_since(session, "tickets", 1, since=start, rows=2 * planned)
        return sum(row.verdict is not None for row in drawn), sum(row.waits for row in drawn)

    found, (labelled, waits) = listed(database), measured()
    assert found.wanted is not None
    assert (found.wanted.labelled, found.wanted.waiting) == (labelled, waits)
    assert waits == len(first)
    assert set(ids(found)) == {*first, *others}
    assert len(ids(found)) == len(set(ids(found))) == waiting(database)
    if labelled < planned:
        assert ids(found)[: len(first)] == first
    for one in first:
        say(database, one, correct=True)
    assert measured() == (labelled + len(first), 0), "each of them counts, and no other was missing"


def test_which_rows_are_handed_out_does_not_depend_on_the_answers(database):
    record(database, *(drawn(i, label="billing", score=0.99) for i in range(30)))
    ask_for(database, 5, since=4)
    before = ids(listed(database, rows=25))
    with database.write() as session:
        for i, row in enumerate(session.scalars(select(Prediction))):
            row.label, row.score, row.probabilities = f"label {i % 7}", i / 100, b"\x00"
    assert ids(listed(database, rows=25)) == before


def test_a_skipped_row_is_not_offered_or_awaited_and_says_nothing(database):
    rows = record(database, drawn(1), drawn(2))
    ask_for(database, 1)
    assert skip(database, rows[0], reason="two matters in one") == (("ann", "two matters in one", NOW), True)
    assert (ids(listed(database)), waiting(database)) == ([rows[1]], 1)
    with database.read() as session:
        since = audit_rows_since(session, "tickets", 1, since=NOW, rows=2)
        assert [(row.verdict, row.waits) for row in since] == [(None, False), (None, True)]
        assert audit_verdicts(session, "tickets", 1, rows=9) == []
        assert labelled_rows(session, "tickets") == []


def test_the_first_skip_stays(database):
    (row,) = record(database, drawn(1))
    skip(database, row, by="ann", reason="unclear")
    assert skip(database, row, by="bob") == (("ann", "unclear", NOW), False)


def test_of_skips_at_the_same_moment_one_is_the_first(database):
    (row,) = record(database, drawn(1))
    outcomes = all_at_once([lambda by=by: skip(database, row, by=by) for by in ("ann", "bob", "cy", "dee")])
    assert sum(is_new for _, is_new in outcomes) == 1
    assert len({stored for stored, _ in outcomes}) == 1


@pytest.mark.parametrize("said", [{"label": "refund"}, {"correct": False}])
@pytest.mark.parametrize("skipped_first", [True, False])
def test_a_verdict_wins_over_a_skip(database, said, skipped_first):
    (row,) = record(database, drawn(1))
    if skipped_first:
        skip(database, row)
    say(database, row, **said)
    if not skipped_first:
        skip(database, row)
    with database.read() as session:
        (judged,) = audit_verdicts(session, "tickets", 1, rows=9)
        since = audit_rows_since(session, "tickets", 1, since=NOW, rows=9)
        taught = count_labelled(session, "tickets", after_seq=0, at_most=9, audit=True)
    assert (judged.right, taught) == (False, 1 if "label" in said else 0)
    assert [(row.verdict, row.waits) for row in since] == [(replace(judged, probabilities=b""), False)]
    assert (ids(listed(database)), waiting(database)) == ([], 0)


def test_only_the_newest_rows_are_looked_through(database, monkeypatch):
    monkeypatch.setattr(store.review, "REVIEWED_ROWS", 3)
    rows = record(database, *(drawn(i) for i in range(5)))
    say(database, rows[4], correct=True)
    assert ids(listed(database)) == [rows[3], rows[2]]


def test_a_row_whose_prediction_is_gone_is_left_out(database):
    rows = record(database, drawn(1), drawn(2))
    with database.write() as session:
        session.execute(delete(Prediction).where(Prediction.id == rows[1]))
    assert (ids(listed(database)), waiting(database)) == ([rows[0]], 1)


def test_drawn_is_what_the_lottery_drew(database):
    record(database, drawn(1), prediction(2))
    with database.read() as session:
        assert [is_drawn(session, prediction_id(number)) for number in (1, 2, 3)] == [True, False, False]

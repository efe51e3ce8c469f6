from dataclasses import replace

import pytest

from store.feedback import (
    AuditVerdict,
    add_feedback,
    audit_verdicts,
    count_feedback,
    count_labelled,
    labelled_rows,
    last_feedback_seq,
)
from store.predictions import add_predictions
from tests.store.conftest import NOW
from tests.store.rows import prediction, prediction_id, verdict
from tests.threads import all_at_once


@pytest.fixture
def answered(database):
    """Predictions 1 and 2 are recorded, 1 was drawn into the audit sample; 3 was not recorded."""
    with database.write() as session:
        add_predictions(session, [prediction(1, audit=0.02), prediction(2)])
    return database


def say(database, *verdicts) -> list[tuple[str, bool]]:
    said = []
    for new in verdicts:
        with database.write() as session:
            said.append(add_feedback(session, new, now=NOW))
    return said


def rows(database, **options):
    with database.read() as session:
        return labelled_rows(session, "tickets", **options)


def test_saying_the_same_again_adds_nothing(answered):
    (first, new), (again, new_again) = say(answered, verdict(label="refund"), verdict(label="refund"))
    assert (first, new, new_again) == (again, True, False)
    with answered.read() as session:
        assert count_feedback(session, "tickets") == 1


@pytest.mark.parametrize(
    "other", [{"label": "billing"}, {"correct": False}, {"by": "bob"}, {"comment": "hm"}, {"origin": "audit"}]
)
def test_saying_anything_else_is_another_verdict(answered, other):
    outcomes = say(answered, verdict(label="refund"), verdict(**{"label": "refund", **other}))
    assert [new for _, new in outcomes] == [True, True]


def test_the_same_said_at_the_same_moment_is_stored_once(answered):
    outcomes = all_at_once([lambda: say(answered, verdict(label="refund"))[0]] * 6)
    assert len({feedback for feedback, _ in outcomes}) == 1, outcomes
    assert sum(new for _, new in outcomes) == 1


def test_coming_back_to_an_earlier_verdict_is_a_new_one(answered):
    outcomes = say(answered, *(verdict(label=label) for label in ("refund", "billing", "refund", "refund")))
    assert [new for _, new in outcomes] == [True, True, True, False]
    assert [row.label for row in rows(answered)] == ["refund"]


def test_the_newest_verdict_wins(answered):
    say(answered, verdict(label="refund"), verdict(label="billing", by="bob"))
    (row,) = rows(answered)
    assert (row.label, row.predicted, row.text) == ("billing", "billing", "text 1")


def test_a_newest_verdict_without_a_label_takes_the_label_back(answered):
    say(answered, verdict(label="refund"), verdict(correct=False, by="bob"))
    assert rows(answered) == []


def test_a_confirmation_gives_the_predicted_label(answered):
    say(answered, verdict(2, correct=True))
    assert [row.label for row in rows(answered)] == ["billing"]


def test_the_same_said_with_the_text_that_was_asked_for_is_the_same(answered):
    outcomes = say(answered, verdict(label="refund"), verdict(label="refund", input="text 1"))
    assert [new for _, new in outcomes] == [True, False]


def test_only_a_drawn_row_that_was_labelled_whatever_the_answer_may_measure(answered):
    for number in (1, 2):
        for origin in ("flagged", "audit"):
            say(answered, verdict(number, label="refund", by=origin, origin=origin))
            (row,) = [row for row in rows(answered) if row.prediction_id == prediction_id(number)]
            measures = (number, origin) == (1, "audit")
            assert (row.origin, row.inclusion) == (("audit", 0.02) if measures else ("flagged", None))


def test_a_flag_teaches_another_label_and_takes_no_row_out_of_the_audit_sample(answered):
    """Flagged is what was answered wrongly: the rows that are left would look better than the traffic."""
    say(answered, verdict(1, label="refund", origin="audit"), verdict(1, label="shipping", by="bob"))
    (row,) = rows(answered)
    assert (row.label, row.origin, row.inclusion) == ("shipping", "audit", 0.02)


def test_what_was_no_review_yet_when_a_snapshot_closed_is_none_in_it(answered):
    say(answered, verdict(1, label="shipping", by="bob"), verdict(1, label="refund", origin="audit"))
    assert [row.origin for row in rows(answered, until_seq=1)] == ["flagged"]


def judged(database, version: int = 1, *, rows: int = 10) -> list[AuditVerdict]:
    with database.read() as session:
        return [replace(found, truth=None, probabilities=b"") for found in _verdicts(session, version, rows)]


def _verdicts(session, version: int, rows: int) -> list[AuditVerdict]:
    return audit_verdicts(session, "tickets", version, rows=rows)


RIGHT, WRONG = AuditVerdict(True, 0.02), AuditVerdict(False, 0.02)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"label": "billing"}, [RIGHT]),
        ({"label": "refund"}, [WRONG]),
        ({"correct": True}, [RIGHT]),
        ({"correct": False}, [WRONG]),
        ({"label": "refund", "correct": True}, [WRONG]),
        ({"comment": "hm"}, []),
    ],
)
def test_a_review_says_whether_the_answer_was_right(answered, said, found):
    say(answered, verdict(1, origin="audit", **said))
    assert judged(answered) == found


@pytest.mark.parametrize(
    ("said", "truth"), [({"label": "refund"}, "refund"), ({"correct": True}, "billing"), ({"correct": False}, None)]
)
def test_a_review_says_what_is_right_if_it_knows(answered, said, truth):
    say(answered, verdict(1, origin="audit", **said))
    with answered.read() as session:
        (found,) = _verdicts(session, 1, 10)
    assert (found.truth, found.probabilities) == (truth, prediction(1).probabilities)


def test_a_row_that_was_not_drawn_or_not_reviewed_says_nothing_about_the_traffic(answered):
    say(answered, verdict(1, label="refund"), verdict(2, label="refund", origin="audit"))
    say(answered, verdict(3, label="refund", input="x", origin="audit"))
    assert judged(answered) == []


def test_the_newest_review_counts_whatever_was_flagged_before_or_after_it(answered):
    say(answered, verdict(1, label="refund", by="bob"))
    say(answered, verdict(1, label="billing", origin="audit"), verdict(1, label="refund", by="cy", origin="audit"))
    say(answered, verdict(1, label="billing", by="dee"), verdict(1, correct=True, by="eve"))
    assert judged(answered) == [WRONG]


def test_reviews_are_those_of_the_newest_rows_of_one_version(database):
    drawn = [prediction(i, audit=0.02 + i / 100, version=1 + i // 5) for i in range(10)]
    with database.write() as session:
        add_predictions(session, drawn)
    for row in drawn:
        say(database, verdict(prediction_id=row.id, version=row.version, correct=True, origin="audit"))
    assert [found.inclusion for found in judged(database, 1, rows=2)] == [drawn[4].audit, drawn[3].audit]
    assert len(judged(database, 2)) == 5
    assert judged(database, 3) == []


@pytest.mark.parametrize("after_seq", [0, 5, 100])
def test_labelled_rows_are_counted_without_being_read(answered, after_seq):
    with answered.write() as session:
        add_predictions(session, [prediction(i, audit=0.5) for i in range(10, 14)])
    say(answered, verdict(1, label="refund"), verdict(1, correct=False, by="bob"), verdict(2, correct=True))
    say(
        answered, verdict(3, correct=True, input="x"), verdict(4, label="refund", input="x"), verdict(5, label="refund")
    )
    say(answered, *(verdict(i, label="refund", origin="audit") for i in range(10, 14)))
    say(answered, verdict(10, label="shipping", by="bob"), verdict(11, correct=False, by="cy", origin="audit"))
    found = rows(answered, after_seq=after_seq)
    audit = [row for row in found if row.origin == "audit"]
    with answered.read() as session:
        counted = [
            count_labelled(session, "tickets", after_seq=after_seq, at_most=limit, audit=only_audit)
            for limit in (1, 100)
            for only_audit in (False, True)
        ]
    assert counted == [min(1, len(found)), min(1, len(audit)), len(found), len(audit)]
    assert (len(found), len(audit)) == {0: (5, 3), 5: (3, 3), 100: (0, 0)}[after_seq]


def test_the_text_is_nothing_that_is_said(answered):
    (first, _), (again, new) = say(answered, verdict(3, label="refund"), verdict(3, label="refund", input="the text"))
    assert (first, new) == (again, False)


def test_an_unrecorded_row_brings_its_own_text(answered):
    say(answered, verdict(3, label="refund", input="what I wrote"), verdict(4, label="refund"))
    (row,) = rows(answered)
    assert (row.prediction_id, row.text, row.predicted, row.origin) == (
        prediction_id(3),
        "what I wrote",
        None,
        "flagged",
    )


def test_the_recorded_text_stands_whatever_the_feedback_says_it_was(answered):
    say(answered, verdict(1, label="refund", input="something else"))
    assert [row.text for row in rows(answered)] == ["text 1"]


def test_a_snapshot_closes_at_a_number(answered):
    say(answered, verdict(1, label="refund"))
    with answered.read() as session:
        until = last_feedback_seq(session, "tickets")
    say(answered, verdict(1, label="billing", by="bob"), verdict(2, label="refund"))
    assert [(row.label, row.prediction_id) for row in rows(answered, until_seq=until)] == [
        ("refund", prediction_id(1)),
    ]
    assert [row.label for row in rows(answered, after_seq=until)] == ["billing", "refund"]


def test_models_do_not_mix(answered):
    say(answered, verdict(1, label="refund"), verdict(5, model="other", label="refund", input="x"))
    with answered.read() as session:
        assert len(labelled_rows(session, "other")) == 1
        assert (count_feedback(session), count_feedback(session, "other")) == (2, 1)
        assert last_feedback_seq(session, "nobody") == 0

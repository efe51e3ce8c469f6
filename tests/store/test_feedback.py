import pytest

from store.feedback import add_feedback, count_feedback, labelled_rows, last_feedback_seq
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
    said = [(number, origin) for number in (1, 2) for origin in ("audit", "flagged")]
    for number, origin in said:
        say(answered, verdict(number, label="refund", by=f"{number} {origin}", origin=origin))
        (row,) = [row for row in rows(answered) if row.prediction_id == prediction_id(number)]
        measures = (number, origin) == (1, "audit")
        assert (row.origin, row.inclusion) == (("audit", 0.02) if measures else ("flagged", None))


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

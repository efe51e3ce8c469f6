from datetime import timedelta

import store.review
from store.feedback import add_feedback
from store.predictions import add_predictions, count_sampled, get_prediction, newest_window
from store.review import count_unlabelled_audit
from tests.store.conftest import NOW
from tests.store.rows import prediction, prediction_id, verdict


def test_a_window_holds_the_newest_sampled_rows_of_its_version_only(database):
    odd = {2: {"reason": "low_score"}, 3: {"version": 2}, 4: {"model": "other"}}
    with database.write() as session:
        add_predictions(session, [prediction(i, at=NOW + timedelta(seconds=i), **odd.get(i, {})) for i in range(8)])
    with database.read() as session:
        window = newest_window(session, "tickets", 1, rows=3)
        assert [row.input for row in window] == ["text 5", "text 6", "text 7"]
        assert count_sampled(session, "tickets", 1, at_most=9) == 5
        assert count_sampled(session, "tickets", 1, at_most=3) == 3
        assert count_sampled(session, "tickets", 1, at_most=9, after_seq=window[0].seq) == 2
        assert newest_window(session, "tickets", 1, rows=3, after_seq=window[-1].seq) == []


def test_the_review_queue_is_that_of_the_newest_drawn_rows(database, monkeypatch):
    monkeypatch.setattr(store.review, "REVIEWED_ROWS", 3)
    with database.write() as session:
        add_predictions(session, [prediction(i, audit=0.02, at=NOW + timedelta(seconds=i)) for i in range(5)])
        add_predictions(session, [prediction(9, model="other", audit=0.02, at=NOW + timedelta(days=1))])
        for number in (0, 3):
            add_feedback(session, verdict(number, label="refund", origin="audit"), now=NOW)
    with database.read() as session:
        assert count_unlabelled_audit(session, "tickets") == 2


def test_audit_rows_wait_until_somebody_speaks(database):
    with database.write() as session:
        add_predictions(session, [prediction(1, audit=0.02), prediction(2)])
    with database.read() as session:
        assert count_unlabelled_audit(session, "tickets") == 1
        assert get_prediction(session, prediction_id(1)) is not None
        assert get_prediction(session, prediction_id(9)) is None
    with database.write() as session:
        add_feedback(session, verdict(1, correct=False, origin="audit"), now=NOW)
    with database.read() as session:
        assert count_unlabelled_audit(session, "tickets") == 0

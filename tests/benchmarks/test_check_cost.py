"""The benchmark of what a check costs: its store holds what it says, and its checks see rows that no other saw."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from benchmarks.check_cost import REST, STAGES, check_timed
from benchmarks.recorded import MODEL, OTHER, VERSIONS, Recorded, bytes_a_row, recorded
from store.checks import last_checks
from store.predictions import count_predictions
from store.records import AuditSample, Feedback, Prediction
from store.review import count_unlabelled_audit
from store.settings import load_settings

ROWS, WINDOW = 4_000, 200


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Recorded]:
    settings = load_settings(home=tmp_path / "home", window_rows=WINDOW)
    with recorded(settings, ROWS, window_rows=WINDOW) as filled:
        yield filled


def test_the_store_holds_traffic_in_the_stated_proportions(store: Recorded) -> None:
    with store.parts.database.read() as session:
        assert count_predictions(session) == ROWS
        assert count_predictions(session, OTHER) == ROWS // 5
        by_version = session.execute(
            select(Prediction.version, func.count()).where(Prediction.model == MODEL).group_by(Prediction.version)
        ).all()
        assert dict(map(tuple, by_version)) == dict.fromkeys(range(1, VERSIONS + 1), ROWS // 5)
        drawn = session.scalar(select(func.count()).select_from(AuditSample))
        reviewed = session.scalar(select(func.count()).where(Feedback.origin == "audit"))
        assert (drawn, reviewed) == (ROWS // 100, ROWS // 200)
        waiting = count_unlabelled_audit(session, MODEL) + count_unlabelled_audit(session, OTHER)
        assert waiting == ROWS // 200
        assert session.scalar(select(func.max(Prediction.seq))) == last_checks(session, MODEL)[-1].window_until


def test_each_check_sees_a_whole_window_of_new_rows_and_every_second_has_its_stage(store: Recorded) -> None:
    timed = [check_timed(store) for _ in range(2)]
    with store.parts.database.read() as session:
        before, first, second = last_checks(session, MODEL, version=VERSIONS, limit=3)
    assert before.window_until < first.window_from
    assert first.window_until < second.window_from
    assert first.window_rows == second.window_rows == WINDOW
    assert set(timed[0].stage_s) == {*STAGES, REST}
    assert sum(timed[0].stage_s.values()) == pytest.approx(timed[0].total_s)
    assert min(timed[0].stage_s.values()) >= 0


def test_the_room_on_disk_is_told_about_right(store: Recorded) -> None:
    with store.parts.database.read() as session:
        pages, page_bytes = (session.scalar(text(f"PRAGMA {name}")) for name in ("page_count", "page_size"))
    assert 0.6 * pages * page_bytes < bytes_a_row("sqlite") * ROWS < 1.5 * pages * page_bytes

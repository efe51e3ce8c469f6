from datetime import UTC, datetime

import pytest

from store.errors import BadInput, NotFound
from store.records import Snapshot
from store.snapshots import add_snapshot, find_snapshot, list_snapshots


def snapshot(name, model="tickets", day=1):
    return Snapshot(
        id=name,
        model=model,
        parent=None,
        artifact="snapshots/x",
        rows=2,
        labels={"a": 2},
        audit={"findings": []},
        feedback_until=0,
        created_at=datetime(2026, 1, day, tzinfo=UTC),
    )


def test_a_snapshot_is_found_by_a_beginning_that_no_other_has(database):
    with database.write() as session:
        for name, model, day in (
            ("abcd1" * 12, "tickets", 2),
            ("abcd2" * 12, "letters", 1),
            ("a%cd3" * 12, "letters", 3),
        ):
            add_snapshot(session, snapshot(name, model, day))
    with database.read() as session:
        assert find_snapshot(session, "abcd2").model == "letters"
        assert find_snapshot(session, "abcd1" * 12).model == "tickets"
        with pytest.raises(BadInput, match="several snapshots begin with 'abcd'"):
            find_snapshot(session, "abcd")
        with pytest.raises(NotFound, match="no snapshot 'a_cd'"):
            find_snapshot(session, "a_cd")
        with pytest.raises(BadInput, match="too short"):
            find_snapshot(session, "abc")
        assert [found.created_at.day for found in list_snapshots(session)] == [1, 2, 3]
        assert [found.created_at.day for found in list_snapshots(session, "letters")] == [1, 3]

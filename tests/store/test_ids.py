import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from store.ids import made_at, new_id, random_bytes

WHEN = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC))


@given(WHEN)
def test_an_id_is_a_uuid_of_version_7_that_holds_its_instant(now):
    made = uuid.UUID(new_id(now))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(WHEN, st.integers(1, 10**9))
def test_ids_sort_by_time(now, later_ms):
    try:
        later = now + timedelta(milliseconds=later_ms)
    except OverflowError:
        return
    assert new_id(now) < new_id(later)


def test_ids_of_one_instant_differ():
    now = datetime(2026, 11, 2, tzinfo=UTC)
    assert len({new_id(now) for _ in range(1000)}) == 1000


@given(WHEN)
def test_an_id_tells_when_it_was_made(now):
    assert abs(made_at(new_id(now)) - now) < timedelta(milliseconds=1)


def test_random_bytes_are_as_many_as_asked_and_never_the_same():
    drawn = [random_bytes(10) for _ in range(2000)]
    assert {len(each) for each in drawn} == {10}
    assert len(set(drawn)) == 2000
    assert len(random_bytes(10_000)) == 10_000

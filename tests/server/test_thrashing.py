from hypothesis import given
from hypothesis.strategies import floats, lists

from server.thrashing import QUIET_S, WINDOW_S, ThrashWatch


def test_a_cache_that_turns_over_within_a_minute_is_told_once_in_a_while() -> None:
    watch = ThrashWatch(slots=3)
    assert [watch.evicted(float(now)) for now in range(6)] == [False, False, False, True, False, False]
    assert not any(watch.evicted(6.0 + i / 10) for i in range(50))
    assert watch.evicted(QUIET_S + 3) is False, "the evictions before are long ago"
    assert [watch.evicted(QUIET_S + 4 + i) for i in range(3)] == [False, False, True]


@given(lists(floats(WINDOW_S / 3 + 0.1, 1e4), max_size=50))
def test_evictions_now_and_then_are_normal(pauses: list[float]) -> None:
    watch, now = ThrashWatch(slots=3), 0.0
    for pause in pauses:
        now += pause
        assert not watch.evicted(now)

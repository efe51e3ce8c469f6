from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.accuracy import wilson
from monitor.decision import Verdict
from monitor.episode import OVER_AFTER, DriftEpisode, SinceDrift, episode_from, go_on
from store.feedback import AuditVerdict

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
episodes = st.none() | st.builds(
    DriftEpisode,
    since=st.just(NOON),
    measured=st.none() | st.just(wilson(0.9, 80, rows=80)),
    calm_checks=st.integers(0, OVER_AFTER - 1),
)


@given(before=episodes, verdicts=st.lists(st.sampled_from(Verdict), max_size=12))
def test_a_drift_keeps_its_beginning_and_its_measurement_until_it_is_over(
    before: DriftEpisode | None, verdicts: list[Verdict]
) -> None:
    episode, calm = before, before.calm_checks if before else 0
    for number, verdict in enumerate(verdicts):
        after = go_on(episode, verdict, NOON + timedelta(hours=number))
        if verdict is Verdict.DRIFT:
            calm = 0
        elif verdict is not Verdict.NOT_ENOUGH_DATA:
            calm += 1
        if episode is not None and calm < OVER_AFTER:
            assert after is not None
            assert (after.since, after.measured, after.calm_checks) == (episode.since, episode.measured, calm)
        elif verdict is Verdict.DRIFT:
            assert after == DriftEpisode(NOON + timedelta(hours=number))
        else:
            assert after is None
        episode = after


@given(episode=episodes)
def test_what_a_record_keeps_is_what_the_next_check_reads(episode: DriftEpisode | None) -> None:
    assert episode_from(episode.as_dict() if episode else None) == episode


def test_labels_that_come_later_change_nothing_of_what_was_measured() -> None:
    right, wrong = AuditVerdict(True, 0.1), AuditVerdict(False, 0.1)
    first = SinceDrift(NOON, 60, (right,) * 60)
    assert first.accuracy == wilson(1.0, 60, rows=60)
    assert first.wanted is None
    later = SinceDrift(NOON, 60, (wrong,) * 40 + (right,) * 60, measured=first.accuracy)
    assert later.accuracy == first.accuracy

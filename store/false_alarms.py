"""How often a drift check finds something by chance, in a unit that a person who is woken by it can weigh: days."""

from collections.abc import Sequence
from datetime import datetime, timedelta

PACE_CHECKS = 20
"""Newest checks by which their pace is judged."""
_PACE_FROM = 10
"""Fewer say nothing of a pace: a person may have asked twice in a minute."""


def expected_days_between_findings(
    false_alarm_rate: float, check_every_s: float, checked_at: Sequence[datetime] = ()
) -> float:
    """Mean days between two checks that find something while nothing drifts, at least.

    A check finds something by chance with a probability of at most `false_alarm_rate`: so it is one in
    1 / false_alarm_rate checks. They come every `check_every_s` seconds, or at the pace of `checked_at` (oldest first)
    where much traffic makes them come faster.
    It is a mean over references: one reference has its own luck, which is in every check against it, so findings
    come in clusters. For the same reason no such figure is given for `confirm_checks` findings in a row: they are
    rarer, by less than if checks were independent.
    """
    newest = checked_at[-PACE_CHECKS:]
    between = timedelta(seconds=check_every_s)
    if len(newest) >= _PACE_FROM:
        between = min(between, (newest[-1] - newest[0]) / (len(newest) - 1))
    return between / timedelta(days=1) / false_alarm_rate

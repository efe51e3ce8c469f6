"""Time as an argument: decisions take `now`, loops take a `Clock`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current instant, timezone-aware, in UTC."""

_UNITS = {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}


def utc_now() -> datetime:
    return datetime.now(UTC)


def span_in_words(span: timedelta) -> str:
    """In the largest unit that fits one and a half times: '4.2 days', '36 hours', '5 minutes', '0 seconds'."""
    for unit, one in _UNITS.items():
        if span >= 1.5 * one:
            count = span / one
            digits = 1 if count < 9.95 else 0
            return f"{count:,.{digits}f}".removesuffix(".0") + f" {unit}s"
    return f"{max(span.total_seconds(), 0):.0f} seconds"

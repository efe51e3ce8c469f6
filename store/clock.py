"""Time as an argument: decisions take `now`, loops take a `Clock`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current instant, timezone-aware, in UTC."""

_UNITS = {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}


def utc_now() -> datetime:
    return datetime.now(UTC)


def span_in_words(span: timedelta) -> str:
    """In the largest unit of which it has at least one: '4.2 days', '1 hour', '25 minutes', '0 seconds'."""
    name, unit = next(((name, unit) for name, unit in _UNITS.items() if span >= unit), ("second", timedelta(seconds=1)))
    count = max(span / unit, 0.0)
    told = f"{count:.1f}".removesuffix(".0") if count < 9.95 else f"{count:,.0f}"
    return f"{told} {name}" if told == "1" else f"{told} {name}s"

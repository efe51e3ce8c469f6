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
    for name, unit in _UNITS.items():
        if span >= unit:
            count = span / unit
            told = f"{count:.1f}".removesuffix(".0") if count < 9.95 else f"{count:,.0f}"
            return _plural(told, name)
    return _plural(f"{max(span.total_seconds(), 0):.0f}", "second")


def _plural(count: str, unit: str) -> str:
    return f"{count} {unit}" if count == "1" else f"{count} {unit}s"

"""Time as an argument: decisions take `now`, loops take a `Clock`."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current instant, timezone-aware, in UTC."""


def utc_now() -> datetime:
    return datetime.now(UTC)

"""Identifiers that sort by time."""

import secrets
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(now: datetime) -> str:
    """A UUID version 7 (RFC 9562, section 5.7) as 32 hex digits: 48 bits of milliseconds, then random bits."""
    milliseconds = (now - _EPOCH) // timedelta(milliseconds=1)  # a float of seconds would be a millisecond off at times
    value = (milliseconds & (2**48 - 1)) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{value:032x}"

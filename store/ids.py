"""Identifiers that sort by time."""

import os
from datetime import UTC, datetime, timedelta

_POOL_BYTES = 4096

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(now: datetime) -> str:
    """A UUID version 7 (RFC 9562, section 5.7) as 32 hex digits: 48 bits of milliseconds, then random bits."""
    milliseconds = (now - _EPOCH) // timedelta(milliseconds=1)  # a float of seconds would be a millisecond off at times
    value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(random_bytes(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{value:032x}"


def made_at(identifier: str) -> datetime:
    """When an id of `new_id` was made, to the millisecond; the end of time for what says a later year than 9999."""
    milliseconds = int(identifier, 16) >> 80
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def random_bytes(count: int) -> bytes:
    """`count` bytes of the operating system's randomness, which is asked for many at a time: a system call for each
    id costs more than all the rest of an id."""
    pool = _pool
    if len(pool) < count:
        pool += os.urandom(max(_POOL_BYTES, count))
    taken = bytes(pool[-count:])
    del pool[-count:]
    return taken


_pool = bytearray()
os.register_at_fork(after_in_child=_pool.clear)  # or parent and child would hand out the same bytes

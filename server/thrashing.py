"""Notices that adapters push each other out: the slots are too few for the traffic."""

from collections import deque

WINDOW_S = 60.0
QUIET_S = 600.0
"""Between two warnings."""


class ThrashWatch:
    """Says once in a while that within a minute more adapters were evicted than there are slots."""

    def __init__(self, slots: int) -> None:
        self._evictions: deque[float] = deque(maxlen=slots + 1)
        self._told_at = float("-inf")

    def evicted(self, now: float) -> bool:
        """Note that an adapter had to make room at `now`, in seconds; whether it is time to warn."""
        self._evictions.append(now)
        full = len(self._evictions) == self._evictions.maxlen
        if not full or now - self._evictions[0] > WINDOW_S or now - self._told_at < QUIET_S:
            return False
        self._told_at = now
        return True

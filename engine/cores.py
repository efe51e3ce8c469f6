"""What the processor offers this process."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from engine.cgroup import own_groups

_CPUINFO = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Cores this process may use: the affinity mask, cut by the quotas of its cgroup and of those above it."""
    return max(1, min([len(os.sched_getaffinity(0)), *_quotas()]))


def _quotas() -> Iterator[int]:
    """Whole cores, of each quota that holds: `cpu.max` in cgroup v2, `cpu.cfs_quota_us` in v1."""
    for controllers, place in own_groups():
        if not controllers and (place / "cpu.max").exists():
            quota, period = (place / "cpu.max").read_text().split()
            if quota != "max":
                yield int(quota) // int(period)
        elif "cpu" in controllers and (place / "cpu.cfs_quota_us").exists():
            quota = (place / "cpu.cfs_quota_us").read_text()
            if int(quota) > 0:
                yield int(quota) // int((place / "cpu.cfs_period_us").read_text())


@cache
def cpu_flags() -> frozenset[str]:
    """The instruction set extensions that Linux names; empty where it names none."""
    if not _CPUINFO.exists():
        return frozenset()
    for line in _CPUINFO.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def has_bfloat16() -> bool:
    """Whether products of bfloat16 numbers are an instruction here."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})

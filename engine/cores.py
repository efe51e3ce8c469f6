"""What the processor offers this process."""

import os
from functools import cache
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_CPUINFO = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Cores this process may use: the affinity mask, cut by the cgroup's quota (cgroup v2 cpu.max)."""
    cores = len(os.sched_getaffinity(0))
    if _QUOTA.exists():
        quota, period = _QUOTA.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


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

"""What the processor offers, read from files as Linux writes them."""

from pathlib import Path

import pytest

from engine import cgroup, cores


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where cgroups are, for a process that is in none of them yet, on 8 cores."""
    monkeypatch.setattr(cgroup, "_CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(cgroup, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))  # this machine may have fewer
    (tmp_path / "fs").mkdir()
    return tmp_path


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1)])
def test_a_cgroup_quota_cuts_the_cores(cgroups: Path, quota: str, expected: int) -> None:
    (cgroups / "own").write_text("0::/\n")
    (cgroups / "fs/cpu.max").write_text(quota + "\n")
    assert cores.usable_cores() == expected


def test_the_smallest_quota_of_all_cgroups_above_holds(cgroups: Path) -> None:
    (cgroups / "own").write_text("0::/system.slice/driftgate.service\n")
    (cgroups / "fs/system.slice/driftgate.service").mkdir(parents=True)
    (cgroups / "fs/system.slice/driftgate.service/cpu.max").write_text("max 100000\n")
    (cgroups / "fs/system.slice/cpu.max").write_text("300000 100000\n")
    assert cores.usable_cores() == 3


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("400000", 4)])
def test_quotas_of_cgroup_v1_hold_as_well(cgroups: Path, quota: str, expected: int) -> None:
    (cgroups / "own").write_text("5:memory:/host/path\n4:cpu,cpuacct:/host/path\n")
    folder = cgroups / "fs/cpu,cpuacct"
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text(quota + "\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.usable_cores() == expected


def test_without_cgroups_the_affinity_counts(cgroups: Path) -> None:
    assert cores.usable_cores() == 8


def test_flags_of_the_processor_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n\nprocessor\t: 1\n")
    monkeypatch.setattr(cores, "_CPUINFO", tmp_path / "cpuinfo")
    cores.cpu_flags.cache_clear()
    try:
        assert cores.has_bfloat16()
        assert cores.cpu_flags() == {"fpu", "avx512_bf16", "sse"}
    finally:
        cores.cpu_flags.cache_clear()

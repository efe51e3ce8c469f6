"""What the processor offers, read from files as Linux writes them."""

from pathlib import Path

import pytest

from engine import cores


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1)])
def test_a_cgroup_quota_cuts_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))  # this machine may have fewer
    assert cores.usable_cores() == expected


def test_flags_of_the_processor_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n\nprocessor\t: 1\n")
    monkeypatch.setattr(cores, "_CPUINFO", tmp_path / "cpuinfo")
    cores.cpu_flags.cache_clear()
    try:
        assert cores.has_bfloat16()
        assert cores.cpu_flags() == {"fpu", "avx512_bf16", "sse"}
    finally:
        cores.cpu_flags.cache_clear()

"""Want of memory and disk, real: a disk of a few megabytes, and a process that may take no more memory."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from engine import cgroup
from retrain import shortage
from retrain.dataset import Row
from retrain.limits import DISK_MARGIN_BYTES, disk_needed
from retrain.shortage import Needs, available_memory, free_disk, needs_of, ran_out_of_disk, ran_out_of_memory
from retrain.split import split_rows
from retrain.strategy import TrainingPlan, plan_training
from retrain.teach import train_on_rows
from store.artifacts import ArtifactStore
from store.errors import Refused, StoreUnavailable
from tests.conftest import ImportedBase
from tests.e2e.plain_letters import plain_letters

GIGABYTE = 10**9


def rows_of(count: int = 200) -> list[Row]:
    return split_rows([Row(text=text, label=label) for text, label in plain_letters(count, seed=5)], seed=1)


def train(artifacts, bundle, plan, rows, work, on_step):
    return train_on_rows(
        artifacts, bundle, plan, rows, start=None, features=work.parent / "features", work=work, on_step=on_step
    )


def plan_of(tiny: ImportedBase, **values: object) -> TrainingPlan:
    return plan_training(tiny.spec, "lora", {"seed": 1, **values}, rows=200, epochs=2, seed=1)


def needs(tiny: ImportedBase, artifacts: ArtifactStore, folder: Path, **values: object) -> Needs:
    backbone = artifacts.fetch(tiny.spec.backbone_artifact)
    return needs_of(tiny.spec, plan_of(tiny, **values), rows_of(), backbone=backbone, folder=folder)


def test_enough_of_both_is_enough(tiny, artifacts, tmp_path):
    needs(tiny, artifacts, tmp_path / "run" / "worker").require(available=GIGABYTE, free=GIGABYTE)


def test_too_little_disk_is_told_with_both_figures_and_what_to_do(tiny, artifacts, tmp_path):
    asked = needs(tiny, artifacts, tmp_path / "run" / "worker")
    asked.require(available=GIGABYTE, free=disk_needed(asked.demand))
    with pytest.raises(Refused) as refused:
        asked.require(available=GIGABYTE, free=5 * 10**6)
    told = str(refused.value)
    assert told.startswith("no disk left: this training needs about ")
    assert f"in {tmp_path}, 5 MB are free; delete what is not needed there" in told
    assert told.count(". ") == 0, "one sentence"


def test_too_little_memory_is_told_with_settings_that_fit(tiny, artifacts, tmp_path):
    asked = needs(tiny, artifacts, tmp_path / "run" / "worker", batch_rows=4096)
    with pytest.raises(Refused) as refused:
        asked.require(available=100 * 10**6, free=GIGABYTE)
    told = str(refused.value)
    assert told.startswith("out of memory: strategy lora, 4096 rows at once and texts of up to ")
    assert "100 MB are free; these would fit: rows_at_once " in told
    assert "strategy head with rows_at_once" not in told, "the head's features are computed in batches of their own"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_an_error_of_the_allocator_is_known(error):
    assert ran_out_of_memory(error)
    assert not ran_out_of_disk(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
        StoreUnavailable("cannot write artifact adapters/0: [Errno 28] No space left on device"),
    ],
)
def test_an_error_of_the_disk_is_known(error):
    assert ran_out_of_disk(error)
    assert not ran_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), FileNotFoundError(2, "gone"), Refused("no")])
def test_any_other_error_stays_what_it_is(error, tiny, artifacts, tmp_path):
    assert not ran_out_of_memory(error)
    assert not ran_out_of_disk(error)
    with pytest.raises(type(error)) as raised, shortage.told_shortage(needs(tiny, artifacts, tmp_path / "a" / "b")):
        raise error
    assert raised.value is error


def test_the_least_of_machine_and_control_groups_is_available(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "_CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(cgroup, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(shortage, "_MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    (tmp_path / "own").write_text("0::/worker\n")
    assert available_memory() == 8_000_000 * 1024
    group = tmp_path / "fs" / "worker"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("2000\n")
    (group / "memory.current").write_text("1500\n")
    (group / "memory.stat").write_text("anon 900\ninactive_file 300\n")
    assert available_memory() == 800, "what a file cache holds is given back on demand"
    (group / "memory.max").write_text("max\n")
    assert available_memory() == 8_000_000 * 1024


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 80 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_before_it_begins_is_told(small_disk, tiny, artifacts):
    (small_disk / "filler").write_bytes(bytes(80 * 2**20 - DISK_MARGIN_BYTES))
    work = small_disk / "run" / "worker"
    work.mkdir(parents=True)
    with pytest.raises(Refused, match=r"^no disk left: this training needs about \d+ MB in .*, \d+ MB are free; "):
        train(artifacts, tiny.bundle, plan_of(tiny), rows_of(), work, lambda *_: None)


def test_what_is_trained_already_needs_no_room(small_disk, tiny, artifacts):
    work = small_disk / "run" / "worker"
    work.mkdir(parents=True)
    trained = train(artifacts, tiny.bundle, plan_of(tiny), rows_of(), work, lambda *_: None)
    (small_disk / "filler").write_bytes(bytes(free_disk(small_disk)))
    assert train(artifacts, tiny.bundle, plan_of(tiny), rows_of(), work, lambda *_: None) == trained


def test_a_full_disk_is_told_wherever_a_run_writes(small_disk):
    with pytest.raises(Refused) as refused, shortage.told_full_disk(small_disk):
        (small_disk / "filler").write_bytes(bytes(81 * 2**20))
    told = str(refused.value)
    assert told.startswith("no disk left: a file could not be written; free are ")
    assert f" in {small_disk} and " in told
    assert told.count(". ") == 0, "one sentence"


def test_a_disk_that_fills_up_while_it_is_trained_is_told_and_room_is_made(small_disk, tiny, artifacts):
    work = small_disk / "run" / "worker"
    work.mkdir(parents=True)

    def fill(step, share, figures):
        free = free_disk(small_disk)
        if free:
            with (small_disk / f"filler-{step}").open("wb") as file:
                file.write(bytes(free))

    with pytest.raises(Refused, match="a file could not be written; delete what is not needed there"):
        train(artifacts, tiny.bundle, plan_of(tiny), rows_of(), work, fill)
    assert not work.exists(), "the record of the end needs room, too"


CHILD = """
import json, os, resource, sys
from pathlib import Path
from engine.base import read_spec
from retrain.limits import memory_needed
from retrain.shortage import needs_of
from store.artifacts import ArtifactStore
from store.errors import Refused
from tests.retrain.test_shortage import plan_of, rows_of, train
import retrain.train, transformers
root, bundle, work, share = sys.argv[1:]
artifacts, spec = ArtifactStore(root, cache=Path(root) / "cache"), read_spec(Path(bundle))

class Tiny: pass
tiny = Tiny(); tiny.spec = spec
plan, rows = plan_of(tiny, batch_rows=4096), rows_of(6000)
needs = needs_of(spec, plan, rows, backbone=artifacts.fetch(spec.backbone_artifact), folder=Path(work))
train(artifacts, Path(bundle), plan_of(tiny), rows_of(), Path(work) / "first", lambda *_: None)
used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
bound = used + int(memory_needed(needs.backbone, needs.demand) * float(share))
resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
try:
    train(artifacts, Path(bundle), plan, rows, Path(work) / "second", lambda *_: None)
except Refused as refused:
    print(refused)
"""


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 1.1])
def test_memory_that_is_too_little_is_told_before_and_while_it_is_trained(share, tiny, artifacts, tmp_path):
    """share: of the estimate that the process may take; from 1 on it is refused by the allocator."""
    for name in ("first", "second"):
        (tmp_path / "work" / name).mkdir(parents=True)
    root = tiny.bundle.parents[1]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(root), str(tiny.bundle), str(tmp_path / "work"), str(share)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("out of memory: strategy lora, 4096 rows at once and texts of up to "), done.stdout
    assert "; these would fit: " in done.stdout

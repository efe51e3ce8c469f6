"""Says in one sentence that a training has no memory or no disk left: before it starts, and when it ran out."""

import errno
import json
import os
import resource
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

from safetensors import SafetensorError
from tokenizers import Tokenizer

from engine.base import TOKENIZER_FILE, BaseSpec
from engine.cgroup import own_groups
from retrain.cost import Device
from retrain.dataset import Row
from retrain.limits import (
    Backbone,
    Demand,
    disk_needed,
    memory_needed,
    read_backbone,
    settings_that_fit,
    told_bytes,
    told_fits,
    trained_numbers,
)
from retrain.strategy import TrainingPlan
from store.errors import DriftgateError, Refused

_MEMINFO = Path("/proc/meminfo")
_NO_MEMORY = ("can't allocate memory", "out of memory", "Cannot allocate memory", "can't start new thread")
_NO_DISK = ("No space left on device", "Disk quota exceeded", "File too large", "database or disk is full")
_TORCH_FILE = "PytorchStreamWriter failed"
"""torch.save tells that a write failed, and not why."""
_LOOKED_AT = 64
"""Longest texts, by letters, among which the longest in tokens is looked for."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one training needs, and where it writes."""

    backbone: Backbone | None
    """None where the base says nothing of its shape; memory is not estimated then."""
    demand: Demand
    folder: Path

    def require(self, *, available: int, free: int) -> None:
        """Raises Refused unless `available` bytes of memory and `free` bytes of disk may be enough."""
        if free < disk_needed(self.demand):
            raise Refused(self.out_of_disk(free, where=""))
        if self.backbone is not None and memory_needed(self.backbone, self.demand) > available:
            raise Refused(self.out_of_memory(available))

    def out_of_memory(self, available: int) -> str:
        asked = self.demand
        texts = f"texts of up to {asked.longest_tokens} tokens"
        how = f"strategy {asked.strategy}, {asked.rows_at_once} rows at once and {texts}"
        if self.backbone is None:
            return f"out of memory: {how} need more than {told_bytes(available)}; set a smaller rows_at_once"
        fits = settings_that_fit(self.backbone, asked, available)
        fits = [one for one in fits if one != asked]  # it was tried: it ran out above the estimate
        return (
            f"out of memory: {how} need at least {told_bytes(memory_needed(self.backbone, asked))}, "
            f"{told_bytes(available)} are free; {told_fits(self.backbone, fits, asked)}"
        )

    def out_of_disk(self, free: int, *, where: str) -> str:
        return (
            f"no disk left: this training needs about {told_bytes(disk_needed(self.demand))} in {self.disk}, "
            f"{told_bytes(free)} are free{where}; delete what is not needed there, or name a folder on a larger disk "
            "as DRIFTGATE_HOME"
        )

    @property
    def disk(self) -> Path:
        """A folder on the same disk that is not taken away with the run."""
        return self.folder.parents[1]


@contextmanager
def told_shortage(needs: Needs) -> Iterator[None]:
    """Turns a want of memory or disk into Refused, with the sentence; lets any other error through."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError, SafetensorError, DriftgateError) as error:
        if ran_out_of_memory(error):
            raise Refused(needs.out_of_memory(available_memory())) from error
        if ran_out_of_disk(error):
            free = free_disk(needs.disk)
            shutil.rmtree(needs.folder, ignore_errors=True)  # the record of the run's end needs room as well
            raise Refused(needs.out_of_disk(free, where=", and a file could not be written")) from error
        raise


@contextmanager
def told_full_disk(folder: Path) -> Iterator[None]:
    """Turns a want of disk below `folder`, or where temporary files lie, into Refused; lets any other error through."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError, DriftgateError) as error:
        if not ran_out_of_disk(error):
            raise
        places = dict.fromkeys((str(folder), gettempdir()))
        free = " and ".join(f"{told_bytes(free_disk(Path(place)))} in {place}" for place in places)
        raise Refused(
            f"no disk left: a file could not be written; free are {free}; delete what is not needed there, or name "
            "folders on a larger disk as DRIFTGATE_HOME and TMPDIR"
        ) from error


def needs_of(spec: BaseSpec, plan: TrainingPlan, rows: Sequence[Row], *, backbone: Path, folder: Path) -> Needs:
    """backbone: folder with config.json and the tokenizer. folder: where the run works."""
    trained = trained_numbers(spec, rank=plan.rank, labels=len({row.label for row in rows}))
    demand = Demand(
        plan.strategy, plan.rows_at_once or plan.batch_rows, trained, _longest(rows, backbone, spec.max_tokens)
    )
    try:
        shape = read_backbone(json.loads((backbone / "config.json").read_text()), parameters=spec.parameters)
    except KeyError:
        shape = None
    return Needs(shape, demand, folder)


def ran_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def ran_out_of_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    said = str(error)
    if isinstance(error, RuntimeError) and _TORCH_FILE in said:
        return True
    return isinstance(error, SafetensorError | DriftgateError | RuntimeError) and any(
        words in said for words in _NO_DISK
    )


def free_disk(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def size_of_folder(folder: Path) -> int:
    """Bytes of all files below it: what a run wrote before it was cut off is not needed a second time."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def training_device() -> Device:
    """What Trainer takes. Imports torch."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def available_memory() -> int:
    """Bytes that a training may still take: of the GPU if there is one, else the least of what the machine, the
    control groups of this process and its own limit leave. Imports torch."""
    import torch

    if training_device() == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return max(0, min(_left()))


def _left() -> Iterator[int]:
    sizes = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    yield int(sizes["MemAvailable"].split()[0]) * 1024
    for controllers, group in own_groups():
        names = ("memory.max", "memory.current", "inactive_file")
        if "memory" in controllers:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit, used, file_cache = names
        if (group / limit).exists() and (bound := (group / limit).read_text().strip()) != "max":
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            yield int(bound) - int((group / used).read_text()) + int(statistics.get(file_cache, 0))
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY:
        yield addresses - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _longest(rows: Sequence[Row], backbone: Path, most: int) -> int:
    tokenizer = Tokenizer.from_file(str(backbone / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    texts = sorted((row.text for row in rows), key=len, reverse=True)[:_LOOKED_AT]
    return max((len(encoding.ids) for encoding in tokenizer.encode_batch(texts)), default=1)

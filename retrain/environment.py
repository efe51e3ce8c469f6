"""What a training depended on beside its plan, written down before it starts, so that it can be done again.

Two trainings with one seed give the same bytes where all of this is the same; where it is not, the record says what
differs. docs/decisions/0022 names what makes the bytes: the number of threads and the processor's kernels above all.
"""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from engine.base import BaseSpec
from engine.cores import usable_cores
from retrain.dataset import Row
from retrain.snapshot import digest_rows
from store.comparison import environment_lines

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "safetensors",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "numpy",
    "scipy",
    "scikit-learn",
    "driftgate",
)
"""Everything that computes, and what computed with it."""

_TOP = Path(__file__).parents[1]
_GIT_PATIENCE_S = 10.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")


def describe_environment() -> dict[str, Any]:
    """This machine and what is installed on it, as JSON. Imports torch."""
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        **_of_torch(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "git": git_state(_TOP),
    }


def describe_material(
    spec: BaseSpec, base_artifact: str, snapshot: str, rows: Sequence[Row], start: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What is trained, as JSON: the base, the rows, and the adapter that the training starts from; None afresh.

    start: number and adapter artifact of a version.
    """
    return {
        "base": {
            "name": spec.name,
            "artifact": base_artifact,
            "backbone": spec.backbone_artifact,
            "weights_sha256": spec.weights_sha256,
        },
        "snapshot": {"id": snapshot, "rows_sha256": digest_rows(rows), "rows": len(rows)},
        "start": None if start is None else dict(start),
    }


def gone_on_with(recorded: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run that goes on: what it began with stays, and `resumed` says what was different later."""
    before = environment_lines(recorded)
    differs = {name: value for name, value in environment_lines(machine).items() if before.get(name) != value}
    return {**recorded, "resumed": differs} if differs else dict(recorded)


def git_state(folder: Path) -> dict[str, Any] | None:
    """Revision of the checkout `folder`, and whether a tracked file differs from it; None if it is no checkout."""
    if not (folder / ".git").exists():
        return None
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):  # no git here, or the checkout belongs to somebody else
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_PATIENCE_S)  # noqa: S603  # our own words
    return done.stdout.strip()


def _of_torch() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "gpus": gpus,
        "cuda": torch.version.cuda if gpus else None,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "threads": {"torch": torch.get_num_threads(), **{name: os.environ.get(name) for name in _THREADS}},
        "determinism": {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
        },
    }


def _cpu_model() -> str | None:
    """As Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _version(package: str) -> str | None:
    try:
        return installed_version(package)
    except PackageNotFoundError:
        return None

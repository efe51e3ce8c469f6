"""The reference of a version: its own validation rows, as the serving engine scored them at registration.

Written by retrain, read by monitor. Arrays are safetensors, texts and labels JSON.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file


@dataclass(frozen=True, slots=True)
class Reference:
    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    """[rows, classes], columns in the order of `labels`."""
    sketches: NDArray[np.float32]
    """[rows, engine.sketch.SKETCH_DIM]"""
    length_tokens: NDArray[np.int64]
    """[rows]"""
    length_chars: NDArray[np.int64]
    """[rows], blanks around the text not counted; -1 in references of releases that did not keep it."""
    unknown_tokens: NDArray[np.int64]
    """[rows]"""
    true_label: NDArray[np.int64]
    """[rows], index into `labels`; -1 for a label that the version does not know."""
    temperature: float
    """Divides the logarithm of the probabilities to calibrate them (Guo et al. 2017, arXiv:1706.04599)."""
    max_tokens: int
    """Texts of more tokens are cut off; 0 in references of releases that did not keep it."""

    @property
    def rows(self) -> int:
        return len(self.true_label)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        return int(sum(getattr(self, name).nbytes for name in _ARRAYS))

    @property
    def accuracy(self) -> float:
        """Share of rows answered rightly, 0 to 1."""
        return float(np.mean(self.probabilities.argmax(axis=1) == self.true_label))


_ARRAYS = ("probabilities", "sketches", "length_tokens", "length_chars", "unknown_tokens", "true_label")


def save_reference(reference: Reference, folder: Path) -> None:
    save_file(
        {name: np.ascontiguousarray(getattr(reference, name)) for name in _ARRAYS},
        folder / "reference.safetensors",
    )
    meta = {
        "labels": list(reference.labels),
        "temperature": reference.temperature,
        "max_tokens": reference.max_tokens,
    }
    (folder / "reference.json").write_text(json.dumps(meta))


def load_reference(folder: Path) -> Reference:
    arrays = load_file(folder / "reference.safetensors")
    meta: dict[str, Any] = json.loads((folder / "reference.json").read_text())
    arrays.setdefault("length_chars", np.full_like(arrays["length_tokens"], -1))
    return Reference(
        labels=tuple(meta["labels"]),
        temperature=float(meta["temperature"]),
        max_tokens=int(meta.get("max_tokens", 0)),
        **arrays,
    )

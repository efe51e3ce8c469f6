"""The seam between the engine and what runs its graph."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.precision import Precision


@dataclass(frozen=True, slots=True)
class Sessions:
    """One graph in one precision, opened for two ways of using the cores."""

    lanes: tuple[Any, ...]
    """An onnxruntime.InferenceSession of one thread for each lane; the same object where it may run concurrently."""
    wide: Any
    """A session that gives one batch as many threads as there are lanes."""
    spare: Any
    """One more of one thread."""


class Provider(Protocol):
    @property
    def name(self) -> str:
        """As users write it: `cpu`, `openvino`."""
        ...

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What it can compute in on this machine, fp32 first."""
        ...

    def open(self, bundle: Path, precision: Precision, *, lanes: int) -> Sessions:
        """Sessions over a base's graph. Raises Refused if the provider does not load."""
        ...

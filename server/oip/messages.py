"""What the protocol says, without the bytes it is said in: plain data between REST, gRPC and the one core."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

OutputName = Literal["label", "score", "probabilities", "prediction_id"]
Datatype = Literal["BYTES", "FP32"]

OUTPUTS: tuple[OutputName, ...] = ("label", "score", "probabilities", "prediction_id")


@dataclass(frozen=True, slots=True)
class InputTensor:
    """A tensor as it came, not yet checked."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[str] | bytes
    """Flat and row-major; `bytes` where it came in the raw form (`tensors.decode_strings`)."""


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    name: OutputName
    binary: bool
    """Whether REST answers it in the raw form; gRPC does as the request did."""
    top_k: int = 0
    """Above 0: the k most probable classes as `value:index:label`, instead of the values."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request that can be asked of the core."""

    texts: list[str]
    outputs: tuple[RequestedOutput, ...]
    truncate: bool = False
    timeout_s: float | None = None
    """The caller's own deadline, from now on."""
    priority: int = 0
    """0 is the default, 1 the highest; a larger number is less urgent."""

    def within(self, seconds: float | None) -> "InferRequest":
        """The same, with the nearer of two deadlines. None: there is no second one."""
        if seconds is None or (self.timeout_s is not None and self.timeout_s <= seconds):
            return self
        return replace(self, timeout_s=seconds)


@dataclass(frozen=True, slots=True)
class AnswerTensor:
    name: OutputName
    datatype: Datatype
    shape: tuple[int, ...]
    data: NDArray[np.float32] | list[str]
    """BYTES: flat texts, row-major. FP32: an array of this shape."""
    binary: bool = False


@dataclass(frozen=True, slots=True)
class InferAnswer:
    model: str
    version: int
    outputs: tuple[AnswerTensor, ...]


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    """-1 where the size is free."""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    name: str
    versions: tuple[int, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version in the repository's index."""

    name: str
    version: int
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str = ""
    """Why it is not READY."""

"""Embedding sketches: what is kept of a pooled embedding for drift detection.

A fixed random projection to SKETCH_DIM dimensions keeps distances to within a small factor (Johnson and
Lindenstrauss 1984) at a fraction of the storage. The projection depends on nothing but the embedding's width, so
sketches of different versions, processes and releases may be compared.
"""

import numpy as np
from numpy.typing import NDArray

SKETCH_DIM = 64
_SEED = 20_260_101


def projection(hidden: int) -> NDArray[np.float32]:
    """[hidden, SKETCH_DIM], entries N(0, 1/SKETCH_DIM). NumPy guarantees the stream of RandomState for good."""
    normal: NDArray[np.float64] = np.random.RandomState(_SEED).standard_normal((hidden, SKETCH_DIM))
    return np.asarray(normal / np.sqrt(SKETCH_DIM), np.float32)


def pack_floats(values: NDArray[np.floating]) -> bytes:
    """float16 little-endian bytes."""
    return values.astype("<f2").tobytes()


def unpack_floats(blob: bytes) -> NDArray[np.float32]:
    return np.frombuffer(blob, "<f2").astype(np.float32)

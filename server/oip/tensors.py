"""Tensors as raw bytes: little-endian values in row-major order, a BYTES element as uint32 length and that many bytes.

The form of REST's binary tensor extension and of gRPC's raw contents alike.
"""

import struct
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from store.errors import BadInput, Malformed
from store.settings import MOST_INPUTS

_LENGTH = struct.Struct("<I")


def encode(data: NDArray[np.float32] | Iterable[str]) -> bytes:
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data, dtype="<f4").tobytes()
    parts = []
    for text in data:
        raw = text.encode()
        parts.append(_LENGTH.pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)


def decode_strings(raw: bytes, *, count: int, where: str) -> list[str]:
    """The `count` texts in `raw`. Raises BadInput; Malformed that names the element and the size it should have had."""
    refuse_many_texts(count, where=where)
    texts, at, size = [], 0, len(raw)
    for i in range(count):
        if at + 4 > size:
            raise Malformed(
                f"{where}: element {i} should start with its length in 4 bytes, {size - at} of {size} bytes are left "
                f"(the shape asks for {count} elements)"
            )
        (length,) = _LENGTH.unpack_from(raw, at)
        at += 4
        if length > size - at:
            raise Malformed(f"{where}: element {i} says it has {length} bytes, {size - at} of {size} are left")
        texts.append(utf8(raw[at : at + length], where=where, element=i))
        at += length
    if at != size:
        raise Malformed(f"{where}: {count} elements end at byte {at}, {size} bytes came; {size - at} belong to none")
    return texts


def refuse_many_texts(count: int, *, where: str) -> None:
    """Raises BadInput, before a million empty ones are decoded."""
    if count > MOST_INPUTS:
        raise BadInput(f"{where}: {count} elements, no request may have more than {MOST_INPUTS}; send several requests")


def utf8(raw: bytes, *, where: str, element: int) -> str:
    """An element as text. Raises Malformed."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"{where}: element {element} is not UTF-8 (byte {error.start} of it)") from None

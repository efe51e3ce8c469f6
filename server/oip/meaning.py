"""What a request means, whichever protocol it came by: tensors, outputs and parameters, checked and resolved."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from server.oip.messages import OUTPUTS, InferRequest, InputTensor, OutputName, RequestedOutput
from server.oip.tensors import decode_strings
from store.errors import BadInput, NotFound

MOST_TENSORS = 64
"""Inputs, outputs, and parameters of each: no model here has so many, and looking at a million takes seconds."""
_LARGEST = 2**64 - 1

_ALL = {binary: tuple(RequestedOutput(name, binary) for name in OUTPUTS) for binary in (False, True)}


def infer_request(
    inputs: Sequence[InputTensor],
    outputs: Iterable[tuple[str, Mapping[str, Any]]],
    parameters: Mapping[str, Any],
) -> InferRequest:
    """outputs: name and parameters of each one asked for; none means all. Raises BadInput."""
    _refuse_sequences(parameters)
    binary = _flag(parameters, "binary_data_output", "parameters")
    timeout_us = _whole(parameters, "timeout", "parameters")
    return InferRequest(
        texts=_texts(inputs),
        outputs=_requested(outputs, binary=binary),
        truncate=_flag(parameters, "truncate", "parameters"),
        timeout_s=timeout_us / 1e6 if timeout_us else None,
        priority=_whole(parameters, "priority", "parameters"),
    )


def refuse_many(**counts: int) -> None:
    """By what is counted. Raises BadInput, before anybody looks at each of them."""
    for name, count in counts.items():
        if count > MOST_TENSORS:
            raise BadInput(f"{name}: at most {MOST_TENSORS}, got {count}")


def version_number(model: str, version: str) -> int | None:
    """The number in `version`, None for an empty one: the production version. Raises NotFound."""
    if not version:
        return None
    if not (version.isascii() and version.isdecimal()) or len(version) > 9:
        raise NotFound(f"no version {version[:40]!r} of model {model!r}; versions are whole numbers")
    return int(version)


def _texts(inputs: Sequence[InputTensor]) -> list[str]:
    if len(inputs) != 1 or inputs[0].name != "text":
        names = ", ".join(tensor.name[:60] for tensor in islice(inputs, 8)) or "none"
        raise BadInput(f"inputs: expected the one tensor 'text', got {names}")
    tensor = inputs[0]
    if tensor.datatype != "BYTES":
        raise BadInput(f"inputs/text: datatype must be BYTES, got {tensor.datatype[:60]}")
    if any(not 0 <= size < 2**31 for size in tensor.shape):
        raise BadInput("inputs/text: every dimension of shape must be at least 0 and below 2147483648")
    if len(tensor.shape) != 1 and tensor.shape[1:] != (1,):
        dimensions = "x".join(map(str, tensor.shape[:8])) or "none"
        raise BadInput(f"inputs/text: shape must be [n] or [n, 1], the dimensions are {dimensions}")
    count, data = tensor.shape[0], tensor.data
    if isinstance(data, bytes):
        return decode_strings(data, count=count, where="inputs/text")
    if len(data) != count:
        raise BadInput(f"inputs/text: shape asks for {count} elements, data has {len(data)}")
    return data


def _requested(outputs: Iterable[tuple[str, Mapping[str, Any]]], *, binary: bool) -> tuple[RequestedOutput, ...]:
    requested = tuple(_output(name, parameters, binary=binary) for name, parameters in outputs)
    if not requested:
        return _ALL[binary]
    if len({output.name for output in requested}) != len(requested):
        raise BadInput("outputs: each output can be asked for once")
    return requested


def _output(asked: str, parameters: Mapping[str, Any], *, binary: bool) -> RequestedOutput:
    name = _output_name(asked)
    where = f"outputs/{name}/parameters"
    refuse_shared_memory(parameters, f"outputs/{name}")
    top_k = _whole(parameters, "classification", where)
    if top_k and name != "probabilities":
        raise BadInput(f"{where}/classification: only 'probabilities' can be classified, not {name!r}; ask for that")
    return RequestedOutput(name, _flag(parameters, "binary_data", where, default=binary), top_k)


def _output_name(asked: str) -> OutputName:
    for name in OUTPUTS:
        if asked == name:
            return name
    raise BadInput(f"outputs: no output {asked[:60]!r}; there are {', '.join(OUTPUTS)}")


def refuse_shared_memory(parameters: Mapping[str, Any], where: str) -> None:
    if "shared_memory_region" in parameters:
        raise BadInput(f"{where}: shared memory is not offered; the data must be in the message itself")


def _refuse_sequences(parameters: Mapping[str, Any]) -> None:
    for name in ("sequence_id", "sequence_start", "sequence_end"):
        if parameters.get(name):
            raise BadInput(f"parameters/{name}: sequences are not offered: every request is answered by itself")


def _flag(parameters: Mapping[str, Any], name: str, where: str, *, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadInput(f"{where}/{name}: expected true or false, got {value!r:.60}")
    return value


def _whole(parameters: Mapping[str, Any], name: str, where: str) -> int:
    value = parameters.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        unit = " of microseconds" if name == "timeout" else ""
        raise BadInput(f"{where}/{name}: expected a whole number{unit}, 0 or more, got {value!r:.60}")
    return value

"""REST bodies: JSON, alone or with raw tensors behind it (the binary tensor data extension).

Reading is done twice at most: msgspec decodes what is right, in one pass and without a Python call a row; only what it
refuses goes through pydantic, whose errors say where and why.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from server.bodies import parse_body
from server.oip.meaning import infer_request, refuse_many, refuse_shared_memory
from server.oip.messages import InferAnswer, InferRequest, InputTensor
from server.oip.tensors import encode
from store.errors import BadInput, Malformed

LENGTH_HEADER = "Inference-Header-Content-Length"
"""How many bytes of the body are JSON; raw tensors follow it."""

_Size = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class _Tensor(msgspec.Struct):
    name: str
    shape: list[_Size]
    datatype: str
    data: list[str] | None = None
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Body(msgspec.Struct):
    inputs: list[_Tensor]
    id: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    parameters: dict[str, Any] = {}
    outputs: list[_Output] | None = None


_decoder = msgspec.json.Decoder(_Body)
_encode = msgspec.json.Encoder().encode


def _flat(data: object) -> object:
    """Nested row-major data as the protocol allows it, flattened one level at a time."""
    while isinstance(data, list) and data and all(isinstance(item, list) for item in data):
        data = [item for row in data for item in row]
    return data


class TensorBody(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    shape: list[Annotated[int, Field(ge=0, lt=2**31)]]
    datatype: str
    data: Annotated[list[str] | None, BeforeValidator(_flat)] = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class OutputBody(BaseModel):
    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferBody(BaseModel):
    """The same as `_Body`, slower, with words for what is wrong; and what OpenAPI shows."""

    id: str | None = Field(None, max_length=200)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[TensorBody]
    outputs: list[OutputBody] | None = None


class _TensorLike(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> list[int]: ...
    @property
    def datatype(self) -> str: ...
    @property
    def data(self) -> list[str] | None: ...
    @property
    def parameters(self) -> dict[str, Any]: ...


def decode_request(body: bytes, json_length: str | None) -> tuple[InferRequest, str | None]:
    """The request and the id to echo. json_length: LENGTH_HEADER as it came. Raises Malformed, BadInput."""
    head, tail = _split(body, json_length)
    parsed = _parse(head)
    refuse_many(inputs=len(parsed.inputs), outputs=len(parsed.outputs or ()))
    inputs = _inputs(parsed.inputs, tail, json_length is not None)
    outputs = [(output.name, output.parameters) for output in parsed.outputs or ()]
    return infer_request(inputs, outputs, parsed.parameters), parsed.id


def encode_answer(answer: InferAnswer, request_id: str | None) -> tuple[bytes, int | None]:
    """The body, and how much of it is JSON if raw tensors follow."""
    outputs, blobs = [], []
    for tensor in answer.outputs:
        described: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if tensor.binary:
            blobs.append(encode(tensor.data))
            described["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            described["data"] = tensor.data if isinstance(tensor.data, list) else tensor.data.ravel().tolist()
        outputs.append(described)
    said: dict[str, Any] = {"model_name": answer.model, "model_version": str(answer.version)}
    if request_id is not None:
        said["id"] = request_id
    said["outputs"] = outputs
    head = _encode(said)
    return (b"".join((head, *blobs)), len(head)) if blobs else (head, None)


def _split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    if json_length is None:
        return body, b""
    if not (json_length.isascii() and json_length.isdecimal() and len(json_length) < 20):
        raise Malformed(f"{LENGTH_HEADER}: expected a number of bytes, got {json_length!r:.60}")
    length = int(json_length)
    if length > len(body):
        raise Malformed(f"{LENGTH_HEADER} says {length} bytes of JSON, the body has {len(body)}")
    return body[:length], body[length:]


def _parse(head: bytes) -> _Body | InferBody:
    try:
        return _decoder.decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return parse_body(InferBody, head)


def _inputs(tensors: Sequence[_TensorLike], tail: bytes, has_header: bool) -> list[InputTensor]:
    """Each tensor with its data, from the JSON or from its place in `tail`. Raises Malformed, BadInput."""
    inputs, at = [], 0
    for tensor in tensors:
        where = f"inputs/{tensor.name[:60]}"
        refuse_shared_memory(tensor.parameters, where)
        data: list[str] | bytes
        if "binary_data_size" in tensor.parameters:
            size = _size(tensor, where, len(tail) - at, has_header)
            data = tail[at : at + size]
            at += size
        elif tensor.data is None:
            raise BadInput(f"{where}: no data; send 'data', or 'binary_data_size' and the bytes behind the JSON")
        else:
            data = tensor.data
        inputs.append(InputTensor(tensor.name, tensor.datatype, tuple(tensor.shape), data))
    if at != len(tail):
        raise Malformed(
            f"{len(tail)} bytes follow the JSON, the inputs' binary_data_size adds up to {at}; "
            f"{len(tail) - at} bytes belong to no tensor"
        )
    return inputs


def _size(tensor: _TensorLike, where: str, left: int, has_header: bool) -> int:
    size = tensor.parameters["binary_data_size"]
    if not has_header:
        raise Malformed(f"{where}: binary_data_size is given, so the header {LENGTH_HEADER} is needed")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise Malformed(f"{where}: binary_data_size must be a whole number, 0 or more, got {size!r:.60}")
    if tensor.data is not None:
        raise Malformed(f"{where}: either 'data' or 'binary_data_size', not both")
    if size > left:
        raise Malformed(f"{where}: binary_data_size is {size}, but {left} bytes are left behind the JSON")
    return size


def decode_load_parameters(body: bytes) -> Mapping[str, Any]:
    """`parameters` of a repository call; its body may be empty. Raises Malformed, BadInput."""
    return parse_body(RepositoryBody, body).parameters if body else {}


class RepositoryBody(BaseModel):
    parameters: dict[str, Any] = Field(default_factory=dict)


class IndexBody(BaseModel):
    ready: bool = Field(False, description="Only versions that can be asked now")

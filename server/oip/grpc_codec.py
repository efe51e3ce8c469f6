"""gRPC messages to and from the protocol's own: nothing is decided here."""

from collections.abc import Mapping
from typing import Any

from server.oip import inference_pb2 as pb
from server.oip.meaning import infer_request, refuse_many, refuse_shared_memory
from server.oip.messages import (
    AnswerTensor,
    IndexEntry,
    InferAnswer,
    InferRequest,
    InputTensor,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
)
from server.oip.tensors import encode, refuse_many_texts, utf8
from store.errors import BadInput, Malformed


def decode_request(message: pb.ModelInferRequest) -> InferRequest:
    """Raises Malformed, BadInput."""
    if len(message.id) > 200:
        raise BadInput(f"id: at most 200 characters, got {len(message.id)}")
    refuse_many(inputs=len(message.inputs), outputs=len(message.outputs))
    outputs = [(output.name, _plain(output.parameters)) for output in message.outputs]
    return infer_request(_inputs(message), outputs, _plain(message.parameters))


def encode_answer(answer: InferAnswer, message: pb.ModelInferRequest) -> pb.ModelInferResponse:
    """Raw where the request was raw, as KServe's server does; tritonclient sends raw and understands nothing else."""
    raw = bool(message.raw_input_contents)
    return pb.ModelInferResponse(
        model_name=answer.model,
        model_version=str(answer.version),
        id=message.id,
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(
                name=tensor.name,
                datatype=tensor.datatype,
                shape=tensor.shape,
                contents=None if raw else _contents(tensor),
            )
            for tensor in answer.outputs
        ],
        raw_output_contents=[encode(tensor.data) for tensor in answer.outputs] if raw else [],
    )


def encode_server(told: ServerMetadata) -> pb.ServerMetadataResponse:
    return pb.ServerMetadataResponse(name=told.name, version=told.version, extensions=told.extensions)


def encode_model(told: ModelMetadata) -> pb.ModelMetadataResponse:
    return pb.ModelMetadataResponse(
        name=told.name,
        versions=[str(number) for number in told.versions],
        platform=told.platform,
        inputs=[_described(tensor) for tensor in told.inputs],
        outputs=[_described(tensor) for tensor in told.outputs],
    )


def encode_index(entries: list[IndexEntry]) -> pb.RepositoryIndexResponse:
    return pb.RepositoryIndexResponse(
        models=[
            pb.RepositoryIndexResponse.ModelIndex(name=e.name, version=str(e.version), state=e.state, reason=e.reason)
            for e in entries
        ]
    )


def model_named(message: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest) -> str:
    """The model to load or unload: KServe's dialect has its name where Triton's has the repository's."""
    return message.model_name or message.repository_name


def _inputs(message: pb.ModelInferRequest) -> list[InputTensor]:
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise Malformed(f"raw_input_contents: one entry an input is needed: {len(message.inputs)}, got {len(raw)}")
    inputs = []
    for i, tensor in enumerate(message.inputs):
        where = f"inputs/{tensor.name[:60]}"
        refuse_shared_memory(tensor.parameters, where)
        if raw and tensor.HasField("contents"):
            raise Malformed(f"{where}: either 'contents' or 'raw_input_contents', not both")
        texts = tensor.contents.bytes_contents
        refuse_many_texts(len(texts), where=where)
        data = raw[i] if raw else [utf8(element, where=where, element=j) for j, element in enumerate(texts)]
        inputs.append(InputTensor(tensor.name, tensor.datatype, tuple(tensor.shape), data))
    return inputs


def _plain(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    refuse_many(parameters=len(parameters))
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is not None:
            found[name] = getattr(value, choice)
    return found


def _contents(tensor: AnswerTensor) -> pb.InferTensorContents:
    if isinstance(tensor.data, list):
        return pb.InferTensorContents(bytes_contents=[text.encode() for text in tensor.data])
    return pb.InferTensorContents(fp32_contents=tensor.data.ravel().tolist())


def _described(tensor: TensorMetadata) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)

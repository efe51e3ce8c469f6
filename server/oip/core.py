"""What REST and gRPC both ask: metadata, health, and answers."""

import asyncio
from collections.abc import Hashable, Sequence
from importlib.metadata import version as installed_version

import numpy as np
from numpy.typing import NDArray

from server.answering import Answered, answer_texts
from server.oip.messages import (
    AnswerTensor,
    InferAnswer,
    InferRequest,
    ModelMetadata,
    RequestedOutput,
    ServerMetadata,
    TensorMetadata,
)
from server.parts import Parts
from server.routing import Target
from store.versions import version_states

EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "schedule_policy")
"""Triton's names for what works here; `schedule_policy` are the parameters `priority` and `timeout`."""


def server_metadata() -> ServerMetadata:
    return ServerMetadata("driftgate", installed_version("driftgate"), EXTENSIONS)


async def model_metadata(parts: Parts, model: str, version: int | None) -> ModelMetadata:
    """versions: all that can be asked, or the one that was named. Raises NotFound, Refused, NotReady."""
    target = await parts.router.target(model, version)
    versions = [version] if version is not None else await asyncio.to_thread(_versions, parts, model)
    return ModelMetadata(
        name=model,
        versions=tuple(versions),
        platform="onnxruntime_onnx",
        inputs=(TensorMetadata("text", "BYTES", (-1,)),),
        outputs=(
            TensorMetadata("label", "BYTES", (-1,)),
            TensorMetadata("score", "FP32", (-1,)),
            TensorMetadata("probabilities", "FP32", (-1, len(target.served.labels))),
            TensorMetadata("prediction_id", "BYTES", (-1,)),
        ),
    )


async def infer(
    parts: Parts,
    request: InferRequest,
    *,
    model: str,
    version: int | None,
    request_id: str,
    caller: Hashable,
) -> InferAnswer:
    target, answered = await answer_texts(
        parts,
        request.texts,
        model=model,
        version=version,
        truncate=request.truncate,
        tags={},
        request_id=request_id,
        caller=caller,
        timeout_s=request.timeout_s,
        priority=request.priority,
    )
    tensors = tuple(_tensor(output, target, answered) for output in request.outputs)
    return InferAnswer(target.served.model, target.served.version, tensors)


def _versions(parts: Parts, model: str) -> list[int]:
    with parts.database.read() as session:
        states = version_states(session, model)
    return [number for _, number, state in states if state != "archived"]


def _tensor(output: RequestedOutput, target: Target, answered: Sequence[Answered]) -> AnswerTensor:
    name, rows = output.name, len(answered)
    match name:
        case "label":
            return AnswerTensor(name, "BYTES", (rows,), [a.answer.label for a in answered], output.binary)
        case "prediction_id":
            return AnswerTensor(name, "BYTES", (rows,), [a.id for a in answered], output.binary)
        case "score":
            scores = np.array([a.answer.score for a in answered], np.float32)
            return AnswerTensor(name, "FP32", (rows,), scores, output.binary)
        case "probabilities":
            values = np.stack([a.answer.probabilities for a in answered]).astype(np.float32, copy=False)
            if output.top_k:
                classes = top_classes(values, target.served.labels, output.top_k)
                k = min(output.top_k, len(target.served.labels))
                return AnswerTensor(name, "BYTES", (rows, k), classes, output.binary)
            return AnswerTensor(name, "FP32", (rows, len(target.served.labels)), values, output.binary)


def top_classes(values: NDArray[np.float32], labels: Sequence[str], k: int) -> list[str]:
    """The k largest of each row as Triton writes them, `value:index:label`, largest first, equals by index.

    values: [rows, classes]. All classes where k is more than there are.
    """
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return [f"{values[row, i]:.6f}:{i}:{labels[i]}" for row, best in enumerate(order.tolist()) for i in best]

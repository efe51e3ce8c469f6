"""The protocol over gRPC, on the server's own event loop.

A call that its caller gives up, or whose deadline passes, is cancelled by gRPC, and with it the coroutine that
answers: its place in the queue is free at once.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from server.counting import counted
from server.oip import core, grpc_codec, repository
from server.oip import inference_pb2 as pb
from server.oip.meaning import version_number
from server.parts import Parts
from server.problems import CallerGone, Forbidden, Unauthorized
from server.request_ids import request_id_of
from store.errors import (
    BadInput,
    Broken,
    Busy,
    Conflict,
    DeadlinePassed,
    DriftgateError,
    NotFound,
    Refused,
)
from store.logs import get_log

Context = Any
"""grpc.aio.ServicerContext; grpcio ships no types."""

STATUS: dict[type[DriftgateError], grpc.StatusCode] = {
    BadInput: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthorized: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Refused: grpc.StatusCode.FAILED_PRECONDITION,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    Busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    CallerGone: grpc.StatusCode.CANCELLED,
    Broken: grpc.StatusCode.UNAVAILABLE,
}
"""By family, as server.problems.STATUS."""

_LONGEST_DETAIL = 2000
"""Details travel in a header, and a client takes 8 KiB of them."""


_log = get_log("grpc")


def status_of(error: type[DriftgateError]) -> grpc.StatusCode:
    """Raises LookupError for an error of no known family; a test walks all of them."""
    for family in error.__mro__:
        if family in STATUS:
            return STATUS[family]
    raise LookupError(error.__name__)


async def start_grpc(parts: Parts, *, host: str, port: int, shared: bool = False) -> tuple[Any, int]:
    """A serving grpc.aio.Server, and its port, for `port` 0 a free one. Stop it with `await server.stop(grace_s)`.

    shared: other processes of ours may listen on the same port. Raises BadInput for an address that cannot be bound.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", parts.settings.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", int(shared)),
        ]
    )
    server.add_generic_rpc_handlers((_handlers(_Service(parts)),))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise BadInput(
            f"cannot listen on {address} for gRPC: {error}; choose another --grpc-port or --host, "
            "or stop what listens there"
        ) from None
    await server.start()
    return server, bound


def _handlers(service: "_Service") -> Any:
    """The calls of the service. Messages are parsed here: what is none is the caller's error, to gRPC it is a bug."""

    def handler(request: Any, answer: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        async def parse_and_answer(raw: bytes, context: Context) -> bytes:
            try:
                message = request.FromString(raw)
            except DecodeError:
                what = f"{len(raw)} bytes are no {request.DESCRIPTOR.full_name}"
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, what)
            answered: bytes = (await answer(message, context)).SerializeToString()
            return answered

        return grpc.unary_unary_rpc_method_handler(parse_and_answer)

    described = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    calls = {
        method.name: handler(getattr(pb, method.input_type.name), getattr(service, method.name))
        for method in described.methods
    }
    return grpc.method_handlers_generic_handler(described.full_name, calls)


class _Service:
    """One method a call of inference.proto, under the names that it gives them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._parts.router.ready)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Context) -> pb.ServerMetadataResponse:
        return grpc_codec.encode_server(core.server_metadata())

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        """NOT_FOUND for a name that does not exist: a probe with a typo should not wait for ever."""
        async with self._call(context, None):
            number = version_number(request.name, request.version)
            try:
                await self._parts.router.target(request.name, number)
            except (Broken, Refused):
                return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        async with self._call(context, None):
            number = version_number(request.name, request.version)
            return grpc_codec.encode_model(await core.model_metadata(self._parts, request.name, number))

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        async with self._call(context, "predict") as request_id:
            with counted(self._parts, request.model_name) as outcome:
                answer = await core.infer(
                    self._parts,
                    grpc_codec.decode_request(request).within(context.time_remaining()),
                    model=request.model_name,
                    version=version_number(request.model_name, request.model_version),
                    request_id=request_id,
                    caller=None,  # many share one channel
                )
                outcome.version = str(answer.version)
                return grpc_codec.encode_answer(answer, request)

    async def RepositoryIndex(self, request: pb.RepositoryIndexRequest, context: Context) -> pb.RepositoryIndexResponse:
        async with self._call(context, None):
            return grpc_codec.encode_index(await repository.index(self._parts, ready_only=request.ready))

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        async with self._call(context, "admin"):
            model = grpc_codec.model_named(request)
            await repository.load(self._parts, model, list(request.parameters))
            return pb.RepositoryModelLoadResponse(model_name=model, isLoaded=True)

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        async with self._call(context, "admin"):
            model = grpc_codec.model_named(request)
            await repository.unload(self._parts, model)
            return pb.RepositoryModelUnloadResponse(model_name=model, isUnloaded=True)

    @asynccontextmanager
    async def _call(self, context: Context, scope: str | None) -> AsyncIterator[str]:
        """Around every call that needs a key: checks it, names the request, and gives errors their status."""
        sent = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        request_id = request_id_of(sent.get("x-request-id", ""))
        trailing: tuple[tuple[str, str], ...] = (("x-request-id", request_id),)
        context.set_trailing_metadata(trailing)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                self._parts.keys.check(_key_in(sent), scope)
                yield request_id
            except DriftgateError as error:
                if isinstance(error, Busy):
                    trailing += (("retry-after", str(error.retry_after_s)),)
                await context.abort(status_of(type(error)), str(error)[:_LONGEST_DETAIL], trailing)
            except Exception:
                _log.exception("grpc_call_failed")
                what = "this is a bug; the log has the details"
                await context.abort(grpc.StatusCode.INTERNAL, what, trailing)


def _key_in(sent: dict[str, str]) -> str | None:
    """The key a call carries in its metadata: as x-api-key, or as bearer token."""
    if (own := sent.get("x-api-key")) is not None:
        return own
    kind, _, value = sent.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else None

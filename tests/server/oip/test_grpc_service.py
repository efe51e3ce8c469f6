import asyncio
import gzip
import re
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest
import uvloop

from server.oip import inference_pb2 as pb
from server.oip.grpc_service import start_grpc, status_of
from server.oip.tensors import decode_strings, encode
from server.process import open_parts
from server.routing import NotReady
from store.clock import utc_now
from store.errors import BadInput, DriftgateError
from store.keys import create_key
from tests.server.conftest import LABELS, TEXT, Server, Start
from tests.waiting import until


class Stub:
    """The calls of the service as a client makes them, from its description."""

    def __init__(self, channel) -> None:
        service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        for method in service.methods:
            call = channel.unary_unary(
                f"/{service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=getattr(pb, method.output_type.name).FromString,
            )
            setattr(self, method.name, call)


class Caller:
    """A client, and the gRPC server that it asks, on the event loop of `server`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        until(lambda: server.parts.router.ready)
        self._running, port = self._on_loop(start_grpc(server.parts, host="127.0.0.1", port=0))
        self._address = f"127.0.0.1:{port}"
        self.channel = grpc.insecure_channel(self._address)
        self.ask = Stub(self.channel)

    def infer(self, *texts, raw=True, model="tickets", version="", metadata=(), **parameters):
        message = self.message(*texts, raw=raw, model=model, version=version, **parameters)
        return self.ask.ModelInfer(message, timeout=30, metadata=metadata)

    def message(self, *texts, raw=True, model="tickets", version="", **parameters):
        tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[len(texts)])
        if not raw:
            tensor.contents.bytes_contents.extend(text.encode() for text in texts)
        message = pb.ModelInferRequest(model_name=model, model_version=version, id="my-7", inputs=[tensor])
        if raw:
            message.raw_input_contents.append(encode(texts))
        for name, value in parameters.items():
            message.parameters[name].CopyFrom(
                pb.InferParameter(bool_param=value) if isinstance(value, bool) else pb.InferParameter(int64_param=value)
            )
        return message

    def count(self, code: str, model="tickets", version="none") -> float:
        return self.server.metric("driftgate_requests_total", model=model, version=version, code=code)

    def waiting_tokens(self) -> float:
        return self.server.metric("driftgate_queue_tokens", base="tiny")

    def stop(self) -> None:
        self.channel.close()
        self._on_loop(self._running.stop(0))

    def _on_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.server._loop).result(30)


@pytest.fixture(scope="module")
def caller(server: Server) -> Iterator[Caller]:
    running = Caller(server)
    yield running
    running.stop()


@pytest.fixture
def call_at(start: Start) -> Iterator[Callable[..., Caller]]:
    """Starts a server of its own with these settings."""
    callers = []

    def run(**settings: object) -> Caller:
        callers.append(Caller(start(**settings)))
        return callers[-1]

    yield run
    for running in callers:
        running.stop()


def refused(call, code, *words):
    with pytest.raises(grpc.RpcError) as failed:
        call()
    assert failed.value.code() is code, failed.value.details()
    for word in words:
        assert word in failed.value.details()
    return dict(failed.value.trailing_metadata() or ())


def test_the_server_tells_of_itself(caller):
    assert caller.ask.ServerLive(pb.ServerLiveRequest()).live
    assert caller.ask.ServerReady(pb.ServerReadyRequest()).ready
    told = caller.ask.ServerMetadata(pb.ServerMetadataRequest())
    assert told.name == "driftgate"
    assert "classification" in told.extensions


def test_a_model_tells_the_same_as_over_rest(caller):
    told = caller.ask.ModelMetadata(pb.ModelMetadataRequest(name="tickets"))
    rest = caller.server.get("/v2/models/tickets").json()
    assert (told.name, told.platform, list(told.versions)) == (rest["name"], rest["platform"], rest["versions"])
    for ours, theirs in ((told.inputs, rest["inputs"]), (told.outputs, rest["outputs"])):
        assert [(t.name, t.datatype, list(t.shape)) for t in ours] == [
            (t["name"], t["datatype"], t["shape"]) for t in theirs
        ]
    assert list(caller.ask.ModelMetadata(pb.ModelMetadataRequest(name="tickets", version="2")).versions) == ["2"]
    assert caller.ask.ModelReady(pb.ModelReadyRequest(name="tickets", version="2")).ready


@pytest.mark.parametrize("raw", [True, False])
def test_infer_answers_as_predict_does(caller, raw):
    answer = caller.infer(TEXT, "another", raw=raw)
    predicted = caller.server.predict(TEXT, "another").json()["predictions"]
    assert (answer.model_name, answer.model_version, answer.id) == ("tickets", "1", "my-7")
    assert [output.name for output in answer.outputs] == ["label", "score", "probabilities", "prediction_id"]
    if raw:
        labels = decode_strings(answer.raw_output_contents[0], count=2, where="")
        scores = np.frombuffer(answer.raw_output_contents[1], "<f4").tolist()
    else:
        labels = [text.decode() for text in answer.outputs[0].contents.bytes_contents]
        scores = list(answer.outputs[1].contents.fp32_contents)
    assert labels == [said["label"] for said in predicted]
    assert scores == pytest.approx([said["score"] for said in predicted], abs=1e-5)
    assert list(answer.outputs[2].shape) == [2, len(LABELS)]


def test_a_version_can_be_named_and_text_be_cut(caller):
    assert caller.infer(TEXT, version="2").model_version == "2"
    long = "word " * 100
    refused(lambda: caller.infer(long), grpc.StatusCode.INVALID_ARGUMENT, "102 tokens")
    assert caller.infer(long, truncate=True)


def test_the_top_classes_can_be_asked_for(caller):
    message = caller.message(TEXT)
    message.outputs.add(name="probabilities").parameters["classification"].int64_param = 2
    answer = caller.ask.ModelInfer(message)
    assert [(o.datatype, list(o.shape)) for o in answer.outputs] == [("BYTES", [1, 2])]
    first, _ = decode_strings(answer.raw_output_contents[0], count=2, where="")
    assert re.fullmatch(r"0\.\d{6}:[012]:(billing|refund|delivery)", first)


def test_what_is_wrong_has_a_status_and_says_so(caller):
    missing, invalid = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT
    refused(lambda: caller.infer(TEXT, model="ticket"), missing, "did you mean 'tickets'?")
    refused(lambda: caller.infer(TEXT, version="9"), missing, "no version '9'")
    refused(lambda: caller.infer(TEXT, version="one"), missing, "no version 'one'")
    refused(lambda: caller.infer(TEXT, " "), invalid, "inputs/1: the text is empty")
    refused(lambda: caller.infer(TEXT, sequence_id=3), invalid, "sequences")
    ready = pb.ModelReadyRequest(name="ticket")
    refused(lambda: caller.ask.ModelReady(ready), missing, "did you mean 'tickets'?")
    refused(lambda: caller.ask.ModelMetadata(pb.ModelMetadataRequest(name="ticket")), missing)
    load, unload = pb.RepositoryModelLoadRequest(model_name="x"), pb.RepositoryModelUnloadRequest(model_name="x")
    refused(lambda: caller.ask.RepositoryModelLoad(load), missing)
    refused(lambda: caller.ask.RepositoryModelUnload(unload), missing)
    load.parameters["config"].string_param = "{}"
    refused(lambda: caller.ask.RepositoryModelLoad(load), invalid, "'config' cannot be given on load")


def test_a_call_that_is_not_offered_is_unimplemented(caller):
    config = caller.channel.unary_unary("/inference.GRPCInferenceService/ModelConfig")
    refused(lambda: config(b""), grpc.StatusCode.UNIMPLEMENTED)


def test_noise_is_refused_and_the_server_goes_on(caller):
    send = caller.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    what = "3 bytes are no inference.ModelInferRequest"
    refused(lambda: send(b"\xff\xff\xff"), grpc.StatusCode.INVALID_ARGUMENT, what)
    assert caller.infer(TEXT)


def test_requests_are_counted_as_those_over_rest(caller):
    answered, refusals = caller.count("200", version="1"), caller.count("422")
    caller.infer(TEXT)
    refused(lambda: caller.infer(""), grpc.StatusCode.INVALID_ARGUMENT)
    assert (caller.count("200", version="1"), caller.count("422")) == (answered + 1, refusals + 1)


def test_the_request_id_is_taken_over_and_comes_back(caller):
    _, call = caller.ask.ModelInfer.with_call(caller.message(TEXT), metadata=[("x-request-id", "mine-1")])
    assert dict(call.trailing_metadata())["x-request-id"] == "mine-1"
    trailing = refused(lambda: caller.infer("", metadata=[("x-request-id", "a b")]), grpc.StatusCode.INVALID_ARGUMENT)
    assert re.fullmatch("[0-9a-f]{32}", trailing["x-request-id"])


def test_a_timeout_parameter_is_a_deadline(caller):
    refused(lambda: caller.infer(TEXT, timeout=1), grpc.StatusCode.DEADLINE_EXCEEDED, "1e-06 s")


def test_a_message_above_the_limit_is_refused_also_when_compressed(call_at):
    caller = call_at(max_body_bytes=10_000, max_inputs=1)
    refused(lambda: caller.infer("x" * 20_000), grpc.StatusCode.RESOURCE_EXHAUSTED, "10000")
    packed = grpc.Compression.Gzip
    bomb = caller.message(" " * 5_000_000)
    assert len(gzip.compress(bomb.SerializeToString())) < 10_000
    refused(lambda: caller.ask.ModelInfer(bomb, compression=packed), grpc.StatusCode.RESOURCE_EXHAUSTED, "larger")
    assert caller.ask.ModelInfer(caller.message("hello " * 20), compression=packed)


@pytest.fixture
def off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch runs on the event loop, however cheap: a stuck one would hold up the whole server."""
    monkeypatch.setattr("server.batching.INLINE_S", 0.0)
    monkeypatch.setattr("server.batching.INLINE_ALONE_S", 0.0)


@pytest.mark.usefixtures("off_the_loop")
def test_a_call_that_is_given_up_frees_its_place(call_at, stuck_engine):
    caller = call_at()
    with stuck_engine(caller.server):
        calls = []

        def one_more_waits() -> bool:
            calls.append(caller.ask.ModelInfer.future(caller.message(TEXT)))
            return caller.waiting_tokens() > 0

        until(one_more_waits)
        for call in calls:
            call.cancel()
        until(lambda: caller.count("499") > 0 and caller.waiting_tokens() == 0)
        late = caller.ask.ModelInfer.future(caller.message(TEXT), timeout=0.2)
        assert late.exception(30).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        until(lambda: caller.waiting_tokens() == 0)
    until(caller.server.nothing_leased)


@pytest.mark.usefixtures("off_the_loop")
def test_a_full_queue_says_when_to_come_back(call_at, stuck_engine):
    caller = call_at(queue_tokens=16)
    with stuck_engine(caller.server):
        calls = []

        def one_is_sent_away() -> grpc.Future | None:
            calls.append(caller.ask.ModelInfer.future(caller.message("word " * 10)))
            return next((call for call in calls if call.done()), None)

        refusal = until(one_is_sent_away).exception()
        assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "tokens wait already" in refusal.details()
        assert int(dict(refusal.trailing_metadata())["retry-after"]) >= 1
    assert any(call.exception(30) is None for call in calls)


def test_load_and_unload_work_in_both_dialects(call_at):
    caller = call_at()
    answer = caller.ask.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="tickets"))
    assert (answer.model_name, answer.isUnloaded) == ("tickets", True)
    refused(lambda: caller.infer(TEXT), grpc.StatusCode.UNAVAILABLE, "unloaded; load it with")
    assert not caller.ask.ModelReady(pb.ModelReadyRequest(name="tickets")).ready
    index = caller.ask.RepositoryIndex(pb.RepositoryIndexRequest()).models
    assert [(m.name, m.version, m.state, m.reason) for m in index] == [
        ("tickets", number, "UNAVAILABLE", "unloaded") for number in "12"
    ]
    assert not caller.ask.RepositoryIndex(pb.RepositoryIndexRequest(ready=True)).models
    kserve = pb.RepositoryModelLoadRequest(repository_name="tickets")
    assert caller.ask.RepositoryModelLoad(kserve).isLoaded
    assert caller.infer(TEXT)


def test_each_call_needs_its_scope(call_at):
    caller = call_at()
    with caller.server.database.write() as session:
        made = {
            scope: create_key(session, (scope,), note="", now=utc_now())[0]
            for scope in ("predict", "feedback", "admin")
        }
    until(lambda: caller.server.get("/v2/models/tickets").status_code == 401)
    refused(lambda: caller.infer(TEXT), grpc.StatusCode.UNAUTHENTICATED, "Bearer dg_")
    wrong = [("authorization", "Bearer dg_wrong")]
    refused(lambda: caller.infer(TEXT, metadata=wrong), grpc.StatusCode.UNAUTHENTICATED, "unknown or revoked")

    def allowed(call, message) -> set[str]:
        passed = set()
        for scope, secret in made.items():
            for metadata in ([("authorization", f"Bearer {secret}")], [("x-api-key", secret)]):
                try:
                    call(message, metadata=metadata)
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.PERMISSION_DENIED, error.details()  # noqa: PT017
                else:
                    passed.add(scope)
        return passed

    every = set(made)
    assert allowed(caller.ask.ModelInfer, caller.message(TEXT)) == {"predict", "admin"}
    assert allowed(caller.ask.ModelReady, pb.ModelReadyRequest(name="tickets")) == every
    assert allowed(caller.ask.ModelMetadata, pb.ModelMetadataRequest(name="tickets")) == every
    assert allowed(caller.ask.RepositoryIndex, pb.RepositoryIndexRequest()) == every
    load, unload = (
        kind(model_name="tickets") for kind in (pb.RepositoryModelLoadRequest, pb.RepositoryModelUnloadRequest)
    )
    assert allowed(caller.ask.RepositoryModelUnload, unload) == {"admin"}
    assert allowed(caller.ask.RepositoryModelLoad, load) == {"admin"}
    assert caller.ask.ServerReady(pb.ServerReadyRequest()).ready
    assert caller.ask.ServerMetadata(pb.ServerMetadataRequest()).name == "driftgate"


def test_a_bug_is_told_without_details(call_at, monkeypatch):
    caller = call_at()

    async def broken(*_, **__):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("server.oip.core.infer", broken)
    with pytest.raises(grpc.RpcError) as failed:
        caller.infer(TEXT)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in failed.value.details()
    assert caller.count("500") == 1


def test_an_address_that_is_taken_cannot_be_bound_twice(caller):
    port = int(caller._address.rpartition(":")[2])
    with pytest.raises(BadInput, match=f"cannot listen on 127.0.0.1:{port} for gRPC"):
        caller._on_loop(start_grpc(caller.server.parts, host="127.0.0.1", port=port))


def test_every_error_has_a_status():
    def family(kind):
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    for kind in family(DriftgateError):
        if kind is not DriftgateError:
            assert isinstance(status_of(kind), grpc.StatusCode), kind
    assert status_of(NotReady) is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(LookupError):
        status_of(DriftgateError)


def test_it_runs_on_uvloop_too(start: Start):
    settings = start().settings  # a home that is stocked; that server is not asked

    async def serve_and_ask() -> pb.ModelInferResponse:
        async with open_parts(settings) as parts:
            await parts.router.refresh()
            server, port = await start_grpc(parts, host="127.0.0.1", port=0)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                message = pb.ModelReadyRequest(name="tickets")
                answer = await Stub(channel).ModelReady(message)
            await server.stop(1.0)
            return answer

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(serve_and_ask()).ready

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.oip import grpc_codec
from server.oip import inference_pb2 as pb
from server.oip.messages import AnswerTensor, InferAnswer
from server.oip.tensors import decode_strings, encode
from store.errors import BadInput, Malformed

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=10)
Input = pb.ModelInferRequest.InferInputTensor


def typed(*texts, **more):
    contents = pb.InferTensorContents(bytes_contents=[text.encode() for text in texts])
    tensor = Input(name="text", datatype="BYTES", shape=[len(texts)], contents=contents)
    return pb.ModelInferRequest(model_name="tickets", inputs=[tensor], **more)


def raw(*texts, **more):
    tensor = Input(name="text", datatype="BYTES", shape=[len(texts)])
    return pb.ModelInferRequest(model_name="tickets", inputs=[tensor], raw_input_contents=[encode(texts)], **more)


@given(texts=TEXTS)
def test_typed_and_raw_contents_say_the_same(texts):
    assert grpc_codec.decode_request(typed(*texts)).texts == texts
    assert grpc_codec.decode_request(raw(*texts)).texts == texts


@given(noise=st.binary(max_size=300))
def test_noise_that_is_a_message_is_understood_or_refused(noise):
    try:
        message = pb.ModelInferRequest.FromString(noise)
    except Exception:  # gRPC answers this one by itself
        return
    with contextlib.suppress(BadInput):
        grpc_codec.decode_request(message)


def test_more_than_any_model_has_is_refused_before_it_is_looked_at():
    tensors = [Input(name="text")] * 100_000
    with pytest.raises(BadInput, match="inputs: at most 64, got 100000"):
        grpc_codec.decode_request(pb.ModelInferRequest(inputs=tensors))
    asked = [pb.ModelInferRequest.InferRequestedOutputTensor(name="label")] * 65
    with pytest.raises(BadInput, match="outputs: at most 64, got 65"):
        grpc_codec.decode_request(raw("a", outputs=asked))
    message = raw("a")
    for i in range(65):
        message.parameters[str(i)].bool_param = True
    with pytest.raises(BadInput, match="parameters: at most 64, got 65"):
        grpc_codec.decode_request(message)
    with pytest.raises(BadInput, match="no request may have more than 65536"):
        grpc_codec.decode_request(typed(*[""] * 65_537))


def test_parameters_come_in_every_type():
    message = raw("a")
    message.parameters["timeout"].uint64_param = 2_000_000
    message.parameters["priority"].int64_param = 2
    message.parameters["truncate"].bool_param = True
    message.parameters["mine"].string_param = "ignored"
    message.parameters["empty"].SetInParent()
    output = message.outputs.add(name="probabilities")
    output.parameters["classification"].int64_param = 2
    request = grpc_codec.decode_request(message)
    assert (request.timeout_s, request.priority, request.truncate) == (2.0, 2, True)
    assert [(output.name, output.top_k) for output in request.outputs] == [("probabilities", 2)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.raw_input_contents.append(b""), ["one entry an input", "1, got 2"]),
        (lambda m: m.inputs[0].contents.bytes_contents.append(b"a"), ["either 'contents' or 'raw_input_contents'"]),
        (lambda m: m.raw_input_contents.__setitem__(0, b"\x09\x00\x00\x00a"), ["says it has 9 bytes"]),
    ],
)
def test_contents_that_do_not_fit_are_malformed(change, words):
    message = raw("a")
    change(message)
    with pytest.raises(Malformed) as refused:
        grpc_codec.decode_request(message)
    for word in words:
        assert word in str(refused.value)


def test_a_typed_element_that_is_no_text_is_malformed():
    message = typed("a", "b")
    message.inputs[0].contents.bytes_contents[1] = b"b\xff"
    with pytest.raises(Malformed, match=r"inputs/text: element 1 is not UTF-8 \(byte 1 of it\)"):
        grpc_codec.decode_request(message)


def test_what_is_too_long_or_elsewhere_is_refused():
    with pytest.raises(BadInput, match="at most 200"):
        grpc_codec.decode_request(raw("a", id="x" * 201))
    message = raw("a")
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(BadInput, match="shared memory"):
        grpc_codec.decode_request(message)
    message = typed("a")
    message.parameters["sequence_id"].int64_param = 3
    with pytest.raises(BadInput, match="sequence_id"):
        grpc_codec.decode_request(message)


ANSWER = InferAnswer(
    "tickets",
    3,
    (
        AnswerTensor("label", "BYTES", (2,), ["déjà", ""]),
        AnswerTensor("probabilities", "FP32", (2, 2), np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)),
    ),
)


def test_the_answer_is_raw_if_the_request_was():
    message = grpc_codec.encode_answer(ANSWER, raw("a", id="my-7"))
    assert (message.model_name, message.model_version, message.id) == ("tickets", "3", "my-7")
    label, probabilities = message.raw_output_contents
    assert decode_strings(label, count=2, where="") == ["déjà", ""]
    assert np.frombuffer(probabilities, "<f4").tolist() == [0.25, 0.75, 0.5, 0.5]
    assert not any(output.HasField("contents") for output in message.outputs)
    assert [list(output.shape) for output in message.outputs] == [[2], [2, 2]]


def test_the_answer_is_typed_if_the_request_was():
    message = grpc_codec.encode_answer(ANSWER, typed("a"))
    assert not message.raw_output_contents
    assert list(message.outputs[0].contents.bytes_contents) == ["déjà".encode(), b""]
    assert list(message.outputs[1].contents.fp32_contents) == [0.25, 0.75, 0.5, 0.5]


def test_the_model_to_load_is_found_in_both_dialects():
    assert grpc_codec.model_named(pb.RepositoryModelLoadRequest(model_name="tickets")) == "tickets"
    kserve = b"\x0a\x07tickets"  # RepositoryModelLoadRequest there: string model_name = 1
    assert grpc_codec.model_named(pb.RepositoryModelLoadRequest.FromString(kserve)) == "tickets"

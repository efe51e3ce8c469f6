import contextlib
import json
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.oip import rest
from server.oip.messages import AnswerTensor, InferAnswer
from server.oip.tensors import decode_strings, encode
from store.errors import BadInput, Malformed

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TEXTS = st.lists(TEXT, max_size=10)


def as_json(texts, **more):
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return json.dumps({"inputs": [tensor], **more}).encode()


def as_binary(texts, size=None, *, extra=b"", **tensor):
    """Body and header, as tritonclient makes them."""
    raw = encode(texts)
    parameters = {"binary_data_size": len(raw) if size is None else size}
    described = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "parameters": parameters, **tensor}
    head = json.dumps({"inputs": [described]}).encode()
    return head + raw + extra, str(len(head))


def refused(body, header=None):
    with pytest.raises(BadInput) as error:
        rest.decode_request(body, header)
    return error.value


@given(texts=TEXTS, caller_id=st.none() | TEXT)
def test_json_and_raw_say_the_same(texts, caller_id):
    more = {} if caller_id is None else {"id": caller_id}
    request, found = rest.decode_request(as_json(texts, **more), None)
    assert (request.texts, found) == (texts, caller_id)
    assert rest.decode_request(*as_binary(texts))[0].texts == texts


@given(texts=TEXTS, cut=st.integers(0, 2**16), length=st.none() | st.integers(-5, 300))
def test_a_damaged_body_is_refused_and_nothing_else_happens(texts, cut, length):
    body, header = as_binary(texts)
    part = body[: cut % (len(body) + 1)]
    try:
        request, _ = rest.decode_request(part, header if length is None else str(length))
    except BadInput:
        return
    assert (part, request.texts) == (body, texts)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["inputs", "outputs", "name", "shape", "data", "parameters", "id", "datatype"]), inner
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_understood_or_refused(value):
    with contextlib.suppress(BadInput):
        rest.decode_request(json.dumps(value).encode(), None)


@pytest.mark.parametrize(
    "body",
    [
        as_json(["a"]),
        as_json(["a"], id="x" * 200, parameters={"truncate": True, "own": [1, {"a": None}]}, outputs=[]),
        as_json(["a"], outputs=[{"name": "label", "parameters": {"binary_data": True}}], model_name="KServe says it"),
        as_json(["a"], id=None, outputs=None),
    ],
)
def test_the_quick_reader_and_the_one_that_explains_agree(body, monkeypatch):
    quick = rest.decode_request(body, None)
    assert isinstance(rest._parse(body), rest._Body)
    monkeypatch.setattr(rest, "_parse", lambda head: rest.parse_body(rest.InferBody, head))
    assert rest.decode_request(body, None) == quick


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (as_binary(["abc"], 9), ["inputs/text", "binary_data_size is 9", "7 bytes are left"]),
        (as_binary(["abc"], 6), ["7 bytes follow", "adds up to 6", "1 bytes belong to no tensor"]),
        (as_binary(["abc"], extra=b"??"), ["9 bytes follow", "adds up to 7", "2 bytes belong to no tensor"]),
        (as_binary(["abc"], -1), ["binary_data_size", "0 or more", "got -1"]),
        (as_binary(["abc"], 7.0), ["got 7.0"]),
        (as_binary(["abc"], True), ["got True"]),
        (as_binary(["abc"], None, data=["abc"]), ["either 'data' or 'binary_data_size'"]),
        (as_binary(["abc"], None, shape=[2]), ["element 1", "0 of 7 bytes are left"]),
        ((as_binary(["abc"])[0], "10000"), ["says 10000 bytes of JSON", "the body has"]),
        ((as_binary(["abc"])[0], "-1"), ["Inference-Header-Content-Length", "'-1'"]),
        ((as_binary(["abc"])[0], "9" * 5000), ["Inference-Header-Content-Length"]),
        ((as_binary(["abc"])[0], "5"), ["not valid JSON"]),
        ((as_binary([])[0], None), ["header Inference-Header-Content-Length is needed"]),
        ((as_json(["a"]) + b"\x00\x01", None), ["not valid JSON"]),
    ],
)
def test_a_malformed_raw_body_is_refused_and_why(made, words):
    error = refused(*made)
    assert isinstance(error, Malformed)
    for word in words:
        assert word in str(error)


def test_the_header_is_fine_without_raw_tensors():
    body = as_json(["a"])
    assert rest.decode_request(body, str(len(body)))[0].texts == ["a"]


def test_a_tensor_without_data_or_in_shared_memory_is_refused():
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES"}
    assert "no data" in str(refused(json.dumps({"inputs": [tensor]}).encode()))
    assert "no data" in str(refused(json.dumps({"inputs": [{**tensor, "data": None}]}).encode()))
    tensor["parameters"] = {"shared_memory_region": "a", "shared_memory_byte_size": 3}
    assert "shared memory is not offered" in str(refused(json.dumps({"inputs": [tensor]}).encode()))


def answer(binary: Mapping[str, bool]) -> InferAnswer:
    values = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    return InferAnswer(
        "tickets",
        3,
        (
            AnswerTensor("label", "BYTES", (2,), ["déjà", ""], binary.get("label", False)),
            AnswerTensor("probabilities", "FP32", (2, 2), values, binary.get("probabilities", False)),
        ),
    )


def test_an_answer_in_json():
    body, json_length = rest.encode_answer(answer({}), "my-7")
    assert json_length is None
    assert json.loads(body) == {
        "model_name": "tickets",
        "model_version": "3",
        "id": "my-7",
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["déjà", ""]},
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [0.25, 0.75, 0.5, 0.5]},
        ],
    }
    assert "id" not in json.loads(rest.encode_answer(answer({}), None)[0])


def test_an_answer_with_raw_tensors_has_them_in_order_behind_the_json():
    body, json_length = rest.encode_answer(answer({"label": True, "probabilities": True}), None)
    label, probabilities = json.loads(body[:json_length])["outputs"]
    assert "data" not in label
    assert probabilities["parameters"] == {"binary_data_size": 16}
    at = json_length + label["parameters"]["binary_data_size"]
    assert decode_strings(body[json_length:at], count=2, where="") == ["déjà", ""]
    assert np.frombuffer(body[at:], "<f4").tolist() == [0.25, 0.75, 0.5, 0.5]


def test_an_answer_may_mix_both():
    body, json_length = rest.encode_answer(answer({"probabilities": True}), None)
    label, probabilities = json.loads(body[:json_length])["outputs"]
    assert label["data"] == ["déjà", ""]
    assert probabilities["parameters"]["binary_data_size"] == len(body) - json_length

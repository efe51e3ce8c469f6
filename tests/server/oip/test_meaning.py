import pytest

from server.oip.meaning import infer_request, version_number
from server.oip.messages import InputTensor, RequestedOutput
from store.errors import BadInput, Malformed, NotFound


def tensor(data=("hello",), shape=None, name="text", datatype="BYTES"):
    return InputTensor(name, datatype, (len(data),) if shape is None else shape, list(data))


def meaning(*, inputs=None, outputs=(), **parameters):
    return infer_request([tensor()] if inputs is None else inputs, outputs, parameters)


def test_without_more_all_outputs_are_asked_for_and_nothing_is_special():
    request = meaning()
    assert request.texts == ["hello"]
    assert [output.name for output in request.outputs] == ["label", "score", "probabilities", "prediction_id"]
    assert (request.truncate, request.timeout_s, request.priority) == (False, None, 0)


def test_texts_come_as_text_or_raw():
    raw = b"\x02\x00\x00\x00hi\x03\x00\x00\x00you"
    for data in (["hi", "you"], raw):
        assert meaning(inputs=[InputTensor("text", "BYTES", (2, 1), data)]).texts == ["hi", "you"]


def test_parameters_are_in_the_units_of_the_protocol():
    request = meaning(timeout=1_500_000, priority=3, truncate=True, my_own="ignored", sequence_id=0, sequence_end=False)
    assert (request.timeout_s, request.priority, request.truncate) == (1.5, 3, True)
    assert meaning(timeout=0).timeout_s is None


def test_the_nearer_deadline_counts():
    assert meaning(timeout=1_000_000).within(0.5).timeout_s == 0.5
    assert meaning(timeout=1_000_000).within(5).timeout_s == 1.0
    assert meaning(timeout=1_000_000).within(None).timeout_s == 1.0
    assert meaning().within(5).timeout_s == 5
    assert meaning().within(None).timeout_s is None


def test_binary_is_said_for_all_or_for_one():
    outputs = [("label", {}), ("score", {"binary_data": False}), ("prediction_id", {"binary_data": True})]
    asked = [(output.name, output.binary) for output in meaning(outputs=outputs, binary_data_output=True).outputs]
    assert asked == [("label", True), ("score", False), ("prediction_id", True)]
    assert not any(output.binary for output in meaning(outputs=[("label", {})]).outputs)
    assert all(output.binary for output in meaning(binary_data_output=True).outputs)


def test_probabilities_can_be_classified():
    asked = meaning(outputs=[("probabilities", {"classification": 3})])
    assert asked.outputs == (RequestedOutput("probabilities", False, 3),)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"timeout": -1}, ["parameters/timeout", "microseconds", "got -1"]),
        ({"timeout": 1.5}, ["microseconds", "got 1.5"]),
        ({"timeout": True}, ["got True"]),
        ({"timeout": 2**64}, ["parameters/timeout"]),
        ({"priority": "high"}, ["parameters/priority", "whole number", "'high'"]),
        ({"truncate": "yes"}, ["parameters/truncate", "true or false", "'yes'"]),
        ({"binary_data_output": 1}, ["parameters/binary_data_output"]),
        ({"sequence_id": 7}, ["parameters/sequence_id", "not offered"]),
        ({"sequence_id": "a"}, ["parameters/sequence_id"]),
        ({"sequence_start": True}, ["parameters/sequence_start"]),
    ],
)
def test_a_parameter_that_cannot_be_honoured_is_refused(parameters, words):
    with pytest.raises(BadInput) as refused:
        meaning(**parameters)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([("logits", {})], ["no output 'logits'", "prediction_id"]),
        ([("label", {}), ("label", {})], ["once"]),
        ([("label", {"classification": 1})], ["outputs/label", "only 'probabilities'"]),
        ([("probabilities", {"classification": -1})], ["outputs/probabilities/parameters/classification", "-1"]),
        ([("label", {"binary_data": "no"})], ["outputs/label/parameters/binary_data"]),
        ([("label", {"shared_memory_region": "a"})], ["outputs/label", "shared memory"]),
    ],
)
def test_an_output_that_is_not_there_is_refused(outputs, words):
    with pytest.raises(BadInput) as refused:
        meaning(outputs=outputs)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ([], BadInput, ["got none"]),
        ([tensor(name="image")], BadInput, ["got image"]),
        ([tensor(datatype="FP32")], BadInput, ["must be BYTES, got FP32"]),
        ([tensor(shape=(-1,))], BadInput, ["at least 0"]),
        ([tensor(shape=(2**31,))], BadInput, ["below 2147483648"]),
        ([tensor(shape=())], BadInput, ["dimensions are none"]),
        ([tensor(shape=(1, 2))], BadInput, ["dimensions are 1x2"]),
        ([tensor(shape=(2,))], BadInput, ["asks for 2 elements, data has 1"]),
        ([InputTensor("text", "BYTES", (1,), b"\x01")], Malformed, ["inputs/text: element 0"]),
    ],
)
def test_a_tensor_that_cannot_be_read_is_refused(inputs, kind, words):
    with pytest.raises(kind) as refused:
        meaning(inputs=inputs)
    for word in words:
        assert word in str(refused.value)


def test_a_version_is_a_whole_number_or_none():
    assert version_number("tickets", "") is None
    assert version_number("tickets", "12") == 12
    for wrong in ("one", "-1", "²", "1.0", "9" * 50):
        with pytest.raises(NotFound, match="no version"):
            version_number("tickets", wrong)

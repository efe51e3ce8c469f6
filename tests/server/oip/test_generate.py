from pathlib import Path

import pytest

from server.oip.generate import GENERATED, generate

ROOT = Path(__file__).parents[3]


def test_the_generated_code_is_what_the_proto_gives(tmp_path):
    generate(ROOT, tmp_path)
    for path in GENERATED:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), f"{path} is not fresh: make proto"


def test_a_client_with_the_same_names_can_live_in_this_process():
    from server.oip import inference_pb2 as ours

    theirs = pytest.importorskip("tritonclient.grpc").service_pb2
    request = ours.ModelInferRequest(model_name="tickets", raw_input_contents=[b"a"])
    request.parameters["timeout"].uint64_param = 7
    assert theirs.ModelInferRequest.FromString(request.SerializeToString()).parameters["timeout"].uint64_param == 7


def test_every_call_has_the_form_that_triton_s_clients_send():
    """Same names, numbers and types; ours may leave messages out and have a field more."""
    from server.oip import inference_pb2 as ours

    theirs = pytest.importorskip("tritonclient.grpc").service_pb2
    for name, message in ours.DESCRIPTOR.message_types_by_name.items():
        known = {field.name: (field.number, field.type) for field in message.fields}
        for field in theirs.DESCRIPTOR.message_types_by_name[name].fields:
            assert known.get(field.name) == (field.number, field.type), f"{name}.{field.name}"
    known_methods = theirs.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    for method in ours.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        assert known_methods[method.name].input_type.full_name == method.input_type.full_name

import gzip
import json
import zlib

import numpy as np
import pytest

from server.oip.rest import LENGTH_HEADER
from server.oip.tensors import decode_strings
from store.clock import utc_now
from store.keys import create_key
from tests.server.conftest import LABELS, TEXT, Start
from tests.server.oip.asking import binary, body, outputs, refused
from tests.waiting import until


def test_the_server_tells_of_itself(server):
    told = server.get("/v2").json()
    assert set(told) == {"name", "version", "extensions"}
    assert told["extensions"] == ["binary_tensor_data", "classification", "model_repository", "schedule_policy"]
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}


def test_a_model_tells_of_its_tensors(server):
    told = server.get("/v2/models/tickets").json()
    assert (told["name"], told["platform"], told["versions"]) == ("tickets", "onnxruntime_onnx", ["1", "2"])
    assert told["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in told["outputs"]} == {
        "label": ("BYTES", [-1]),
        "score": ("FP32", [-1]),
        "probabilities": ("FP32", [-1, 3]),
        "prediction_id": ("BYTES", [-1]),
    }
    assert server.get("/v2/models/tickets/versions/2").json()["versions"] == ["2"]
    assert server.get("/v2/models/tickets/ready").status_code == 200
    assert server.get("/v2/models/tickets/versions/2/ready").status_code == 200


def test_infer_answers_as_predict_does(server):
    said = outputs(server.infer(body(TEXT, "another")))
    answers = server.predict(TEXT, "another", probabilities=True).json()["predictions"]
    assert said["label"]["data"] == [answer["label"] for answer in answers]
    assert said["score"]["data"] == pytest.approx([answer["score"] for answer in answers], abs=1e-5)
    assert said["probabilities"]["shape"] == [2, 3]
    flat = [answer["probabilities"][label] for answer in answers for label in LABELS]
    assert said["probabilities"]["data"] == pytest.approx(flat, abs=1e-5)
    assert all(unique.startswith("tickets:1:") for unique in said["prediction_id"]["data"])


def test_the_shape_may_be_a_column_and_the_data_nested(server):
    nested = {"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [[TEXT], ["another"]]}
    column, flat = (server.infer(request) for request in ({"inputs": [nested]}, body(TEXT, "another")))
    assert outputs(column)["label"] == outputs(flat)["label"]


def test_the_id_is_echoed_and_only_the_outputs_asked_for_come(server):
    answer = server.infer(body(TEXT, id="my-7", outputs=[{"name": "score"}, {"name": "label"}])).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("my-7", "tickets", "1")
    assert [tensor["name"] for tensor in answer["outputs"]] == ["score", "label"]
    assert "id" not in server.infer(body(TEXT)).json()


def test_a_version_can_be_named_and_text_be_cut(server):
    assert server.infer(body(TEXT), "tickets/versions/2").json()["model_version"] == "2"
    long = "word " * 100
    refused(server.infer(body(long)), 422, "102 tokens")
    assert outputs(server.infer(body(long, parameters={"truncate": True})))["label"]["shape"] == [1]


TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x"]}


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ({"name": "image"}, ["expected the one tensor 'text', got image"]),
        ({"datatype": "FP32"}, ["datatype must be BYTES, got FP32"]),
        ({"shape": [2]}, ["asks for 2 elements, data has 1"]),
        ({"shape": []}, ["dimensions are none"]),
        ({"shape": [1, 2]}, ["dimensions are 1x2"]),
        ({"shape": [1, 1, 1]}, ["dimensions are 1x1x1"]),
        ({"shape": [-1]}, ["greater than or equal to 0"]),
        ({"shape": [2**31]}, ["less than 2147483648"]),
        ({"shape": [9] * 100_000}, ["dimensions are 9x9"]),
        ({"shape": "1"}, ["shape"]),
        ({"data": "x"}, ["data"]),
        ({"data": [1]}, ["string"]),
        ({"data": [["x"], "x"]}, ["string"]),
        ({"data": []}, ["data has 0"]),
        ({"data": [], "shape": [0]}, ["no text was sent"]),
        ({"data": [""]}, ["empty"]),
        ({"data": ["a\x00"]}, ["NUL"]),
    ],
)
def test_a_bad_tensor_is_refused_and_why(server, tensor, words):
    refused(server.infer({"inputs": [{**TENSOR, **tensor}]}), 422, *words)


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"inputs": []}, 422, ["got none"]),
        ({"inputs": [TENSOR, TENSOR]}, 422, ["got text, text"]),
        ({}, 422, ["inputs"]),
        ({"inputs": [TENSOR], "outputs": [{"name": "logits"}]}, 422, ["no output 'logits'"]),
        ({"inputs": [TENSOR], "outputs": [{"name": "score"}] * 2}, 422, ["once"]),
        ({"inputs": [TENSOR], "outputs": [{"name": "score"}] * 1000}, 422, ["outputs: at most 64, got 1000"]),
        ({"inputs": [TENSOR] * 1000}, 422, ["inputs: at most 64, got 1000"]),
        ({"inputs": [TENSOR], "id": "x" * 201}, 422, ["id"]),
        ({"inputs": [TENSOR], "parameters": []}, 422, ["parameters"]),
        ({"inputs": [TENSOR], "parameters": {"timeout": "soon"}}, 422, ["parameters/timeout", "'soon'"]),
        ({"inputs": [TENSOR], "parameters": {"sequence_id": 3}}, 422, ["sequences are not offered"]),
        (
            {"inputs": [TENSOR], "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            422,
            ["only 'probabilities'"],
        ),
        ({"inputs": [{**TENSOR, "parameters": {"binary_data_size": 5}}]}, 400, [LENGTH_HEADER]),
    ],
)
def test_a_bad_request_is_refused_and_why(server, request_, status, words):
    refused(server.infer(request_), status, *words)


def test_what_is_no_json_is_malformed(server):
    refused(server.post("/v2/models/tickets/infer", content=b"{"), 400, "not valid JSON")
    nested = json.dumps({"inputs": [{**TENSOR, "data": 0}]}).replace("0}", "[" * 5000 + "]" * 5000 + "}")
    refused(server.post("/v2/models/tickets/infer", content=nested), 400, "recursion")


@pytest.mark.parametrize("path", ["", "/ready", "/versions/1", "/versions/1/ready"])
def test_an_unknown_model_is_not_found(server, path):
    refused(server.get(f"/v2/models/ticket{path}"), 404, "did you mean 'tickets'?")


@pytest.mark.parametrize("version", ["9", "one", "-1", "²", "٣", "1.0", "9" * 50, "%00"])
def test_an_unknown_version_is_not_found(server, version):
    refused(server.get(f"/v2/models/tickets/versions/{version}"), 404, "no version")
    refused(server.infer(body("x"), f"tickets/versions/{version}"), 404, "no version")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v2/nothing", 404), ("GET", "/v2/models/t/infer", 405)]
)
def test_a_wrong_path_or_method_speaks_the_protocol_too(server, method, path, status):
    refused(server.http.request(method, path), status, path)


def infer_binary(server, content, headers):
    return server.post("/v2/models/tickets/infer", content=content, headers=headers)


def unpacked(response):
    """The outputs of an answer, each as the raw bytes it came in, or as its `data`."""
    assert response.status_code == 200, response.text
    length = int(response.headers[LENGTH_HEADER])
    assert response.headers["content-type"] == "application/octet-stream"
    found, at = {}, length
    for tensor in json.loads(response.content[:length])["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        found[tensor["name"]] = tensor["data"] if size is None else response.content[at : at + size]
        at += size or 0
    assert at == len(response.content)
    return found


def test_raw_tensors_go_both_ways_and_say_the_same_as_json(server):
    said = outputs(server.infer(body(TEXT, "another")))
    got = unpacked(infer_binary(server, *binary(TEXT, "another", parameters={"binary_data_output": True})))
    assert decode_strings(got["label"], count=2, where="") == said["label"]["data"]
    for name in ("score", "probabilities"):
        assert np.frombuffer(got[name], "<f4").tolist() == pytest.approx(said[name]["data"], abs=1e-5)
    assert all(unique.startswith("tickets:1:") for unique in decode_strings(got["prediction_id"], count=2, where=""))


def test_raw_or_json_can_be_chosen_for_each_output(server):
    asked = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "label"}]
    got = unpacked(infer_binary(server, *binary(TEXT, outputs=asked)))
    assert isinstance(got["score"], bytes)
    assert got["label"][0] in LABELS
    in_json = server.infer(body(TEXT, outputs=asked))
    assert isinstance(unpacked(in_json)["score"], bytes)
    assert LENGTH_HEADER not in infer_binary(server, *binary(TEXT)).headers


def test_a_raw_body_that_does_not_add_up_is_malformed(server):
    content, headers = binary(TEXT)
    refused(infer_binary(server, content[:-1], headers), 400, "inputs/text", "binary_data_size is 23", "22 bytes")
    refused(infer_binary(server, content + b"?", headers), 400, "1 bytes belong to no tensor")
    refused(infer_binary(server, content, {LENGTH_HEADER: "9999"}), 400, "says 9999 bytes")
    refused(infer_binary(server, content, {LENGTH_HEADER: "many"}), 400, "'many'")
    refused(infer_binary(server, content, {}), 400, "not valid JSON")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_may_be_compressed(server, encoding, pack):
    content, headers = binary(TEXT)
    packed = infer_binary(server, pack(content), {**headers, "Content-Encoding": encoding})
    assert outputs(packed)["label"] == outputs(server.infer(body(TEXT)))["label"]
    refused(infer_binary(server, content, {**headers, "Content-Encoding": encoding}), 400, f"not {encoding}")
    bomb = pack(b" " * (server.settings.max_body_bytes + 1))
    refused(infer_binary(server, bomb, {"Content-Encoding": encoding}), 413, "decompressed")


def test_another_compression_is_not_supported_and_counted_as_such(server):
    before = server.metric("driftgate_requests_total", model="tickets", version="none", code="415")
    refused(infer_binary(server, b"", {"Content-Encoding": "br"}), 415, "gzip and deflate")
    assert server.metric("driftgate_requests_total", model="tickets", version="none", code="415") == before + 1


def test_the_top_classes_come_as_triton_writes_them(server):
    classified = {"name": "probabilities", "parameters": {"classification": 2}}
    top = outputs(server.infer(body(TEXT, "another", outputs=[classified])))["probabilities"]
    assert (top["datatype"], top["shape"]) == ("BYTES", [2, 2])
    flat = outputs(server.infer(body(TEXT, "another")))["probabilities"]["data"]
    for row in range(2):
        values = flat[3 * row : 3 * row + 3]
        for place, said in enumerate(top["data"][2 * row : 2 * row + 2]):
            value, index, label = said.split(":", 2)
            assert values[int(index)] == sorted(values, reverse=True)[place]
            assert float(value) == pytest.approx(values[int(index)], abs=1e-6)
            assert label == LABELS[int(index)]
    every = {"name": "probabilities", "parameters": {"classification": 100, "binary_data": True}}
    raw = unpacked(server.infer(body(TEXT, outputs=[every])))["probabilities"]
    assert len(decode_strings(raw, count=3, where="")) == 3


def test_a_timeout_in_microseconds_is_a_deadline(server):
    refused(server.infer(body(TEXT, parameters={"timeout": 1})), 504, "1e-06 s")
    assert outputs(server.infer(body(TEXT, parameters={"timeout": 20_000_000, "priority": 1})))


def test_each_route_needs_its_scope(start: Start):
    server = start()
    with server.database.write() as session:
        made = {
            scope: create_key(session, (scope,), note="", now=utc_now())[0]
            for scope in ("predict", "feedback", "admin")
        }
    until(lambda: server.get("/v2/models/tickets").status_code == 401)

    def status(path, scope, method="POST"):
        return server.http.request(method, path, headers={"X-API-Key": made[scope]}, json=body(TEXT)).status_code

    for path, scopes in {
        "/v2/models/tickets/infer": {"predict", "admin"},
        "/v2/repository/index": {"predict", "feedback", "admin"},
        "/v2/repository/models/tickets/load": {"admin"},
        "/v2/repository/models/tickets/unload": {"admin"},
    }.items():
        assert {scope for scope in made if status(path, scope) != 403} == scopes, path
    assert server.get("/v2").status_code == server.get("/v2/health/live").status_code == 200

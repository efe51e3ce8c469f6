import json

import pytest

from tests.server.conftest import LABELS, TEXT


def body(*texts, **more):
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return {"inputs": [tensor], **more}


def outputs(response):
    assert response.status_code == 200, response.text
    return {tensor["name"]: tensor for tensor in response.json()["outputs"]}


def refused(response, status, *words):
    """Under /v2 an error is the protocol's own."""
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    for word in words:
        assert word in response.json()["error"]


def test_the_server_tells_of_itself(server):
    assert set(server.get("/v2").json()) == {"name", "version", "extensions"}
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}


def test_a_model_tells_of_its_tensors(server):
    told = server.get("/v2/models/tickets").json()
    assert (told["name"], told["versions"]) == ("tickets", ["1"])
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
        ({"inputs": [TENSOR], "outputs": [{"name": "score"}] * 1000}, 422, ["once"]),
        ({"inputs": [TENSOR], "id": "x" * 201}, 422, ["id"]),
        ({"inputs": [TENSOR], "parameters": []}, 422, ["parameters"]),
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

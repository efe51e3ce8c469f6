"""Unchanged clients of other servers against a real process: Triton's over HTTP and gRPC, and the KServe SDK's."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from store.database import open_database
from store.settings import load_settings
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase, MakeAdapter
from tests.e2e import kserve_python
from tests.e2e.processes import processes

LABELS = ("billing", "refund", "delivery")
TEXTS = ["where is my parcel?", "déjà vu"]


@dataclass(frozen=True)
class Served:
    url: str
    grpc: str

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny: ImportedBase, make_adapter: MakeAdapter) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("clients") / "home"
    database = open_database(load_settings(home=home))
    add_imported_base(database, home, tiny)
    database.close()
    with processes(home, home.parent / "logs", DRIFTGATE_GRPC_PORT="0") as group:
        for seed in (1, 2):
            folder = make_adapter(tiny, seed=seed, labels=LABELS)
            promote = ("--promote",) if seed == 1 else ()
            group.ask("adapter", "import", str(folder), "--base", "tiny", "--model", "tickets", *promote)
        said = group.start("serve").logged("listening")
        yield Served(said["url"], said["grpc"])


class Triton:
    """One of Triton's two clients; their modules have the same names in them."""

    def __init__(self, module: ModuleType, address: str) -> None:
        self.module = module
        self.client = module.InferenceServerClient(address)
        self.over_http = module.__name__.endswith("http")

    def text(self, texts: list[str] = TEXTS, **options: Any) -> Any:
        tensor = self.module.InferInput("text", [len(texts)], "BYTES")
        tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=object), **options)
        return tensor

    def infer(self, *outputs: Any, texts: list[str] = TEXTS, model: str = "tickets", **options: Any) -> Any:
        return self.client.infer(model, [self.text(texts)], outputs=list(outputs) or None, **options)

    def plain(self, told: Any) -> Any:
        """Metadata and the index as plain Python, whichever protocol they came by."""
        if self.over_http:
            return told
        from google.protobuf.json_format import MessageToJson

        return json.loads(MessageToJson(told, preserving_proto_field_name=True))

    def refused(self, call: Any, status: str, *words: str) -> None:
        from tritonclient.utils import InferenceServerException

        with pytest.raises(InferenceServerException) as failed:
            call()
        assert failed.value.status() == status, failed.value.message()
        for word in words:
            assert word in failed.value.message()


@pytest.fixture(params=["http", "grpc"])
def triton(request: pytest.FixtureRequest, served: Served) -> Iterator[Triton]:
    module = pytest.importorskip(f"tritonclient.{request.param}")
    asking = Triton(module, served.host if request.param == "http" else served.grpc)
    yield asking
    asking.client.close()


def status(triton: Triton, http: str, grpc: str) -> str:
    return http if triton.over_http else f"StatusCode.{grpc}"


def test_triton_finds_the_server_and_the_model_alive(triton: Triton) -> None:
    assert triton.client.is_server_live()
    assert triton.client.is_server_ready()
    assert triton.client.is_model_ready("tickets")
    assert triton.client.is_model_ready("tickets", "2")


def test_triton_reads_the_metadata(triton: Triton) -> None:
    server = triton.plain(triton.client.get_server_metadata())
    assert server["name"] == "driftgate"
    assert {"binary_tensor_data", "classification", "model_repository", "schedule_policy"} == set(server["extensions"])
    model = triton.plain(triton.client.get_model_metadata("tickets"))
    assert (model["name"], model["platform"], model["versions"]) == ("tickets", "onnxruntime_onnx", ["1", "2"])
    tensors = [(t["name"], t["datatype"], [int(n) for n in t["shape"]]) for t in model["inputs"] + model["outputs"]]
    assert tensors == [
        ("text", "BYTES", [-1]),
        ("label", "BYTES", [-1]),
        ("score", "FP32", [-1]),
        ("probabilities", "FP32", [-1, 3]),
        ("prediction_id", "BYTES", [-1]),
    ]


def test_triton_infers_all_outputs(triton: Triton) -> None:
    answer = triton.infer(request_id="mine-1", priority=1, timeout=20_000_000)
    probabilities = answer.as_numpy("probabilities")
    assert probabilities.shape == (2, 3)
    assert probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    best = probabilities.argmax(axis=1)
    assert [label.decode() for label in answer.as_numpy("label")] == [LABELS[i] for i in best]
    assert answer.as_numpy("score") == pytest.approx(probabilities.max(axis=1), abs=1e-6)
    assert all(unique.startswith(b"tickets:1:") for unique in answer.as_numpy("prediction_id"))
    said = triton.plain(answer.get_response())
    assert (said["id"], said["model_name"], said["model_version"]) == ("mine-1", "tickets", "1")


def test_triton_asks_a_version_and_some_outputs(triton: Triton) -> None:
    score = triton.module.InferRequestedOutput("score")
    one, two = (triton.infer(score, model_version=version) for version in ("1", "2"))
    assert one.as_numpy("label") is None
    assert one.as_numpy("score").tolist() != two.as_numpy("score").tolist()


def test_triton_asks_for_the_top_classes(triton: Triton) -> None:
    answer = triton.infer(triton.module.InferRequestedOutput("probabilities", class_count=2))
    top = answer.as_numpy("probabilities")
    assert top.shape == (2, 2)
    for row in top:
        values = [float(text.decode().split(":")[0]) for text in row]
        assert values == sorted(values, reverse=True)
        assert all(LABELS[int(text.decode().split(":")[1])] == text.decode().split(":")[2] for text in row)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_triton_may_compress(triton: Triton, algorithm: str) -> None:
    if triton.over_http:
        options = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    else:
        options = {"compression_algorithm": algorithm}
    plain = triton.infer().as_numpy("label").tolist()
    assert triton.infer(**options).as_numpy("label").tolist() == plain


def test_triton_is_told_what_is_wrong(triton: Triton) -> None:
    missing, invalid = status(triton, "404", "NOT_FOUND"), status(triton, "422", "INVALID_ARGUMENT")
    triton.refused(lambda: triton.infer(model="ticket"), missing, "did you mean 'tickets'?")
    triton.refused(lambda: triton.infer(model_version="9"), missing, "no version '9'")
    triton.refused(lambda: triton.client.get_model_metadata("ticket"), missing, "did you mean 'tickets'?")
    triton.refused(lambda: triton.infer(texts=[" "]), invalid, "inputs/0: the text is empty")
    triton.refused(lambda: triton.infer(sequence_id=5), invalid, "sequences are not offered")
    wrong = triton.module.InferRequestedOutput("label", class_count=2)
    triton.refused(lambda: triton.infer(wrong), invalid, "only 'probabilities' can be classified")
    triton.refused(lambda: triton.infer(timeout=1), status(triton, "504", "DEADLINE_EXCEEDED"), "1e-06 s")
    config = status(triton, "404", "UNIMPLEMENTED")
    triton.refused(lambda: triton.client.get_model_config("tickets"), config)


def test_triton_unloads_and_loads_a_model(triton: Triton) -> None:
    def index() -> list[tuple[str, ...]]:
        told = triton.plain(triton.client.get_model_repository_index())
        entries = told if triton.over_http else told["models"]
        return [(e["name"], e["version"], e["state"], e.get("reason", "")) for e in entries]

    ready = [("tickets", number, "READY", "") for number in "12"]
    assert index() == ready
    triton.client.unload_model("tickets")
    try:
        assert index() == [("tickets", number, "UNAVAILABLE", "unloaded") for number in "12"]
        assert not triton.client.is_model_ready("tickets")
        triton.refused(triton.infer, status(triton, "503", "UNAVAILABLE"), "unloaded; load it with")
    finally:
        triton.client.load_model("tickets")
    assert index() == ready
    assert triton.infer().as_numpy("label").shape == (2,)
    missing, invalid = status(triton, "404", "NOT_FOUND"), status(triton, "422", "INVALID_ARGUMENT")
    triton.refused(lambda: triton.client.load_model("ticket"), missing, "did you mean")
    triton.refused(
        lambda: triton.client.load_model("tickets", config="{}"), invalid, "'config' cannot be given on load"
    )


def test_triton_sends_json_where_it_is_asked_to(served: Served) -> None:
    module = pytest.importorskip("tritonclient.http")
    asking = Triton(module, served.host)
    outputs = [module.InferRequestedOutput(name, binary_data=name == "score") for name in ("label", "score")]
    raw = asking.infer()
    mixed = asking.client.infer("tickets", [asking.text(binary_data=False)], outputs=outputs)
    assert mixed.as_numpy("label").tolist() == [label.decode() for label in raw.as_numpy("label")]
    assert mixed.as_numpy("score") == pytest.approx(raw.as_numpy("score"), abs=1e-6)
    asking.client.close()


KSERVE = [] if kserve_python.is_ready() else [pytest.mark.slow]  # the first time an environment is made for it


@pytest.fixture(scope="module", params=[pytest.param("kserve", marks=KSERVE)])
def kserve(served: Served) -> dict[str, Any]:
    calls = Path(__file__).parent / "kserve_calls.py"
    command = [kserve_python.kserve_python(), str(calls), served.url, served.grpc]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_kserve_s_client_works_over_rest(kserve: dict[str, Any]) -> None:
    said = kserve["rest"]
    assert (said["live"], said["ready"], said["model_ready"], said["unknown_ready"]) == (True, True, True, False)
    assert said["json"]["id"] == "kserve-1"
    assert set(said["json"]["label"]) <= set(LABELS)
    for form in ("raw", "mixed"):
        assert said[form]["label"] == said["json"]["label"]
        assert said[form]["score"] == pytest.approx(said["json"]["score"], abs=1e-6)
    assert said["unknown"].startswith("404 ")
    assert "no model 'nothing'" in said["unknown"]


def test_kserve_s_client_works_over_grpc(kserve: dict[str, Any]) -> None:
    said, rest = kserve["grpc"], kserve["rest"]
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["unknown_ready"].startswith("NOT_FOUND no model 'nothing'")
    for form in ("raw", "typed"):
        assert said[form]["id"] == "kserve-1"
        assert said[form]["label"] == rest["json"]["label"]
        assert said[form]["score"] == pytest.approx(rest["json"]["score"], abs=1e-6)
    assert said["unknown"].startswith("NOT_FOUND no model 'nothing'")

"""The int8 graph: the same bytes each time, adapters untouched, and nearly the same answers on real text."""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn.linear_model import LogisticRegression

from cli.demo.tickets import World, tickets
from engine.adapter import read_adapter
from engine.base import GRAPH_FILES, precisions_in
from engine.engine import Engine
from retrain.quantize import write_int8_graph
from tests.adapters import set_head
from tests.conftest import ImportedBase, MakeAdapter

CLINC = Path(__file__).parents[3] / "shared" / "data" / "clinc150.json.gz"


@pytest.fixture(params=["tiny", "minilm"])
def base(request: pytest.FixtureRequest) -> ImportedBase:
    imported: ImportedBase = request.getfixturevalue(request.param)
    return imported


def test_the_same_graph_gives_the_same_bytes(tiny: ImportedBase, tmp_path: Path) -> None:
    """A bundle is named by its content: importing the same base again must be no conflict."""
    write_int8_graph(tiny.bundle / GRAPH_FILES["fp32"], tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tiny.bundle / GRAPH_FILES["int8"]).read_bytes()
    assert precisions_in(tiny.bundle) == ("fp32", "bf16", "int8")


def test_every_frozen_linear_layer_is_rounded_and_nothing_that_adapters_bring(base: ImportedBase) -> None:
    plain, rounded = (onnx.load(base.bundle / GRAPH_FILES[precision]) for precision in ("fp32", "int8"))
    assert [i.SerializeToString() for i in rounded.graph.input] == [i.SerializeToString() for i in plain.graph.input]
    constants = {tensor.name for tensor in plain.graph.initializer}
    linear = [n for n in plain.graph.node if n.op_type in ("MatMul", "Gemm")]
    frozen = sum(node.input[1] in constants for node in linear)
    kinds = Counter(node.op_type for node in rounded.graph.node)
    assert frozen
    assert kinds["MatMulInteger"] == frozen
    assert kinds["MatMul"] == len(linear) - frozen, "products of activations and adapters stay in float"


def test_weights_keep_within_seven_bits_so_that_no_processor_overflows(base: ImportedBase) -> None:
    graph = onnx.load(base.bundle / GRAPH_FILES["int8"]).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            weight = numpy_helper.to_array(tensors[node.input[1]])
            assert weight.dtype == np.int8
            assert np.abs(weight.astype(int)).max() <= 64, node.name


def test_a_bundle_takes_less_with_both_graphs_than_twice_the_weights(minilm: ImportedBase) -> None:
    sizes = {p: (minilm.bundle / GRAPH_FILES[p]).stat().st_size for p in ("fp32", "int8")}
    assert sizes["int8"] < 0.27 * sizes["fp32"], sizes


Rows = Sequence[tuple[str, str]]


def teach_head(base: ImportedBase, folder: Path, labels: Sequence[str], rows: Rows) -> None:
    """Give the adapter in `folder` the head that scikit-learn finds for its pooled embeddings of `rows`."""
    engine = Engine(base.bundle, slots=2, lanes=1)
    engine.bank.load("a", read_adapter(folder, base.spec))
    slot = engine.bank.lease("a") or 0
    encoded = engine.modality.encode([text for text, _ in rows], truncate=True)
    order = sorted(range(len(rows)), key=lambda i: encoded[i].length_tokens)
    pooled = np.zeros((len(rows), base.spec.hidden))
    for start in range(0, len(order), 16):
        batch = order[start : start + 16]
        pooled[batch] = engine.run([encoded[i] for i in batch], [slot] * len(batch)).pooled
    found = LogisticRegression(max_iter=1000).fit(pooled, [labels.index(label) for _, label in rows])
    weight, bias = found.coef_, found.intercept_
    if len(labels) == 2:  # one row of weights stands for both classes
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    set_head(folder, weight=weight, bias=bias)


def compare(base: ImportedBase, folder: Path, labels: Sequence[str], rows: Rows) -> tuple[float, float, float]:
    """Accuracy in fp32 and in int8, and the share of rows that get the same label."""
    engine = Engine(base.bundle, slots=2, lanes=1, precisions=("fp32", "int8"))
    engine.bank.load("a", read_adapter(folder, base.spec))
    texts, truth = [text for text, _ in rows], np.array([labels.index(label) for _, label in rows])
    plain, rounded = (
        engine.score(texts, "a", labels=len(labels), precision=precision).probabilities.argmax(axis=1)
        for precision in ("fp32", "int8")
    )
    figures = float(np.mean(plain == truth)), float(np.mean(rounded == truth)), float(np.mean(plain == rounded))
    print("accuracy in fp32 {:.4f}, in int8 {:.4f}; same label {:.4f}".format(*figures))
    return figures


def test_int8_tells_two_matters_of_tickets_apart_as_fp32_does(minilm: ImportedBase, make_adapter: MakeAdapter) -> None:
    labels = ("late_delivery", "login_trouble")
    rows = [(t.text, t.label) for t in tickets(World.BEFORE, 6000, seed=1) if t.label in labels][:800]
    folder = make_adapter(minilm, labels=labels, scale=0.1)
    teach_head(minilm, folder, labels, rows[300:])
    plain, rounded, same = compare(minilm, folder, labels, rows[:300])
    assert plain > 0.85, "the adapter must have something to lose"
    assert rounded > plain - 0.02
    assert same >= 0.95


@pytest.mark.skipif(not CLINC.exists(), reason="needs CLINC150 in ../shared/data")
def test_int8_answers_what_people_ask_their_bank_as_fp32_does(minilm: ImportedBase, make_adapter: MakeAdapter) -> None:
    """CLINC150, banking (Larson et al. 2019, CC BY 3.0): 15 intents in people's own words."""
    labels = sorted(json.loads((CLINC.parent / "clinc150_domains.json").read_text())["banking"])
    with gzip.open(CLINC, "rt") as file:
        splits = {name: [(t, i) for t, i in rows if i in labels] for name, rows in json.load(file).items()}
    folder = make_adapter(minilm, labels=tuple(labels), scale=0.1)
    teach_head(minilm, folder, labels, splits["train"])
    plain, rounded, same = compare(minilm, folder, labels, splits["test"])
    assert plain > 0.95
    assert rounded > plain - 0.01
    assert same >= 0.98

"""The unpadded graph: linear layers see real tokens only, and the answers stay what they were."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)

from retrain.unpad import unpad

SMALL = {"vocab_size": 100, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
LINEAR_A_LAYER = 6
"""Query, key, value and output of the attention, and two of the feed-forward part."""


def backbones() -> dict[str, PreTrainedModel]:
    torch.manual_seed(3)
    wide = SMALL | {"intermediate_size": 32, "max_position_embeddings": 40}
    return {
        "bert": BertModel(BertConfig(**wide)),
        "roberta": RobertaModel(RobertaConfig(**wide)),
        "electra": ElectraModel(ElectraConfig(**wide, embedding_size=16)),
        "mpnet": MPNetModel(MPNetConfig(**wide)),
        "distilbert": DistilBertModel(
            DistilBertConfig(vocab_size=100, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40)
        ),
    }


class Pooled(nn.Module):
    """What looks across a row at the end, so that the padding would show."""

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).float()
        return (hidden * mask).sum(1) / mask.sum(1), hidden


@pytest.fixture(scope="module", params=list(backbones()))
def graphs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same backbone as it is exported, and unpadded."""
    backbone = backbones()[request.param]
    backbone.set_attn_implementation("eager")
    folder = tmp_path_factory.mktemp(request.param)
    ids = torch.full((2, 7), 5)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter's own workings
        torch.onnx.export(
            Pooled(backbone).eval(),
            (ids, torch.ones_like(ids)),
            str(folder / "padded.onnx"),
            input_names=["input_ids", "attention_mask"],
            output_names=["pooled", "hidden"],
            dynamic_shapes=({0: batch, 1: tokens}, {0: batch, 1: tokens}),
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = onnx.load(folder / "padded.onnx")
    unpad(model)
    onnx.save(model, folder / "unpadded.onnx")
    return folder / "padded.onnx", folder / "unpadded.onnx"


def test_every_linear_layer_sees_real_tokens_only(graphs: tuple[Path, Path]) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(graphs[1]), data_prop=True)
    constants = {tensor.name for tensor in model.graph.initializer}
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in model.graph.value_info}
    linear = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in constants]
    assert Counter(ranks[node.input[0]] for node in linear) == {2: 2 * LINEAR_A_LAYER}
    assert not {"Gelu", "Erf"} & {n.op_type for n in model.graph.node if ranks.get(n.output[0]) == 3}


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@settings(max_examples=25, deadline=None)
@given(lengths=lists(integers(1, 30), min_size=1, max_size=9))
def test_the_answers_stay_what_they_were(graphs: tuple[Path, Path], lengths: list[int]) -> None:
    rng = np.random.default_rng(sum(lengths))
    ids = np.full((len(lengths), max(lengths)), 1, np.int64)
    mask = np.zeros_like(ids)
    for i, length in enumerate(lengths):
        ids[i, :length] = rng.integers(5, 100, length)
        mask[i, :length] = 1
    rows = {"input_ids": ids, "attention_mask": mask}
    pooled, hidden = session(graphs[0]).run(None, rows)
    pooled_now, hidden_now = session(graphs[1]).run(None, rows)
    np.testing.assert_allclose(pooled_now, pooled, atol=1e-5)
    assert hidden_now.shape == hidden.shape
    np.testing.assert_allclose(hidden_now[mask == 1], hidden[mask == 1], atol=1e-5)

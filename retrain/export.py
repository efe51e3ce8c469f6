"""Imports a base: exports a pretrained backbone to ONNX with the rows' adapters and heads as graph inputs.

Each target `nn.Linear` is wrapped so that it adds `x @ A @ B`, with A and B of each row's own; what an adapter holds is
therefore data, not graph, and rows for different adapters share a batch.
"""

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from engine.adapter import CONFIG_FILE
from engine.base import (
    GATHER_FILE,
    GRAPH_FILES,
    SPEC_FILE,
    TOKENIZER_FILE,
    BaseSpec,
    Pooling,
    TargetLayer,
    bank_shapes,
    spec_to_json,
)
from retrain.backbone import pool, read_pooling, text_limit
from retrain.licence import NONE_STATED
from retrain.quantize import write_int8_graph
from retrain.sources import Source
from retrain.unpad import unpad
from store.artifacts import ArtifactStore, digest_file
from store.errors import BadInput, Refused

_BACKBONE_FILES = ("config.json", "model.safetensors")
OPSET = 20
_IR_VERSION = 9
"""The one that goes with that operator set."""


class _AdaptedLinear(nn.Module):
    """A frozen linear layer plus the LoRA update of each row's own adapter."""

    def __init__(self, frozen: nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen
        self.update: tuple[Tensor, Tensor] | None = None
        """A [rows, d_in, rank] and B [rows, rank, d_out] of the current call."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.update is not None  # noqa: S101  # set by _AdapterGraph.forward on every call
        a, b = self.update
        if x.dim() == 2:  # a pooler's layer sees one vector a row
            return self.frozen(x) + torch.bmm(torch.bmm(x.unsqueeze(1), a), b).squeeze(1)  # type: ignore[no-any-return]
        return self.frozen(x) + torch.bmm(torch.bmm(x, a), b)  # type: ignore[no-any-return]


class _AdapterGraph(nn.Module):
    """What is exported: backbone, pooling and head, with what adapters hold as inputs.

    Here they are one a row. The exported products broadcast, so a batch of one adapter may bring it once.
    """

    def __init__(self, backbone: nn.Module, layers: list[_AdaptedLinear], pooling: Pooling) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self._layers = layers

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *adapters: Tensor) -> tuple[Tensor, Tensor]:
        for i, layer in enumerate(self._layers):
            layer.update = (adapters[2 * i], adapters[2 * i + 1])
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        pooled = pool(output, attention_mask, self.pooling)
        head_weight, head_bias = adapters[-2], adapters[-1]
        logits = torch.bmm(pooled.unsqueeze(1), head_weight).squeeze(1) + head_bias
        return logits, pooled


def import_base(
    source: Source,
    artifacts: ArtifactStore,
    *,
    name: str,
    lora_targets: tuple[str, ...] = ("query", "value"),
    max_rank: int = 16,
    max_labels: int = 256,
    license_name: str = NONE_STATED,
    progress: Callable[[str, float], None] = lambda step, share: None,
) -> tuple[BaseSpec, str]:
    """Export `source` and store it; returns its spec and artifact key.

    license_name: as retrain.licence judged it. progress: called with each step as it begins, and the share of the time
    that has gone, 0 to 1.
    Raises BadInput for a source that cannot be read, Refused for one that cannot be exported.
    """
    progress("reading the weights", 0.0)
    folder = source.folder
    if (folder / CONFIG_FILE).exists():  # transformers would load it unasked, also from a pickle
        raise Refused(
            f"{source.name!r} has an {CONFIG_FILE}: it holds an adapter, and a base is the backbone alone; import the "
            "backbone from a folder without it, then: driftgate adapter import FOLDER --base NAME --model MODEL"
        )
    config = _load(lambda: AutoConfig.from_pretrained(folder, trust_remote_code=False), source.name)
    backbone = _load(
        lambda: AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager",
        ),
        source.name,
    ).eval()
    with tempfile.TemporaryDirectory(prefix="driftgate-backbone-") as scratch:
        backbone_folder = Path(scratch)
        for file in _BACKBONE_FILES:
            if not (folder / file).exists():
                raise Refused(f"{source.name!r} has no {file}; only safetensors weights are loaded, never pickles")
            shutil.copyfile(folder / file, backbone_folder / file)
        AutoTokenizer.from_pretrained(folder).backend_tokenizer.save(str(backbone_folder / TOKENIZER_FILE))
        pooling, own = read_pooling(folder, backbone)
        wrapped = _wrap_targets(backbone, lora_targets, source.name)
        weights_sha256 = digest_file(folder / "model.safetensors")
        spec = BaseSpec(
            name=name,
            source=source.name,
            aliases=source.aliases,
            revision=source.revision(weights_sha256),
            license=license_name,
            architecture=type(backbone).__name__,
            modality="text",
            task="text-classification",
            pooling=pooling,
            own_pooling=own,
            hidden=config.hidden_size,
            max_tokens=text_limit(folder, config),
            max_rank=max_rank,
            max_labels=max_labels,
            layers=tuple(
                TargetLayer(layer_name, layer.frozen.in_features, layer.frozen.out_features)
                for layer_name, layer in wrapped.items()
            ),
            parameters=sum(p.numel() for p in backbone.parameters()),
            weights_sha256=weights_sha256,
            backbone_artifact="",
            pad_token_id=config.pad_token_id or 0,
            preprocessing=f"tokenizer.json of the source, cut at {text_limit(folder, config)} tokens only on request",
        )
        return store_bundle(backbone, list(wrapped.values()), spec, backbone_folder, artifacts, progress=progress)


def store_bundle(
    backbone: nn.Module,
    layers: list[_AdaptedLinear],
    spec: BaseSpec,
    backbone_folder: Path,
    artifacts: ArtifactStore,
    *,
    progress: Callable[[str, float], None],
) -> tuple[BaseSpec, str]:
    """Export what serves a backbone and store it beside its weights; returns the whole spec and the bundle's key.

    layers: the wrapped ones among those of `backbone`. backbone_folder: weights, config and tokenizer.json.
    """
    with tempfile.TemporaryDirectory(prefix="driftgate-bundle-") as scratch:
        bundle = Path(scratch)
        shutil.copyfile(backbone_folder / TOKENIZER_FILE, bundle / TOKENIZER_FILE)
        progress("exporting the graph", 0.1)
        _export(backbone, layers, spec, bundle / GRAPH_FILES["fp32"])
        progress("rounding it to int8", 0.6)
        write_int8_graph(bundle / GRAPH_FILES["fp32"], bundle / GRAPH_FILES["int8"])
        onnx.save(_gather_graph(spec), bundle / GATHER_FILE)
        progress("storing it", 0.75)
        spec = replace(spec, backbone_artifact=artifacts.put("backbones", backbone_folder))
        (bundle / SPEC_FILE).write_text(json.dumps(spec_to_json(spec), indent=1, sort_keys=True))
        return spec, artifacts.put("bases", bundle)


def _load(load: Any, source: str) -> Any:
    try:
        return load()
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{source!r} is no loadable Hugging Face model: {str(error).splitlines()[0]}") from error


def _wrap_targets(backbone: nn.Module, targets: tuple[str, ...], source: str) -> dict[str, _AdaptedLinear]:
    """Replace each linear layer whose last name is in `targets`; by its path in the backbone, in module order."""
    found = {
        path: module
        for path, module in backbone.named_modules()
        if isinstance(module, nn.Linear) and path.rpartition(".")[2] in targets
    }
    missing = set(targets) - {path.rpartition(".")[2] for path in found}
    if missing:
        linear = {p.rpartition(".")[2] for p, m in backbone.named_modules() if isinstance(m, nn.Linear)}
        raise BadInput(
            f"{source!r} has no linear layer named {', '.join(sorted(missing))}; it has {', '.join(sorted(linear))}",
            where="lora_targets",
        )
    wrapped = {}
    for path, module in found.items():
        parent, _, leaf = path.rpartition(".")
        wrapped[path] = _AdaptedLinear(module)
        setattr(backbone.get_submodule(parent), leaf, wrapped[path])
    return wrapped


def _export(backbone: nn.Module, layers: list[_AdaptedLinear], spec: BaseSpec, path: Path) -> None:
    graph = _AdapterGraph(backbone, layers, spec.pooling).eval()
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    ids = torch.ones(2, 7, dtype=torch.int64)
    shapes = bank_shapes(spec, len(ids))
    adapters = tuple(torch.zeros(shape) for shape in shapes.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        torch.onnx.export(
            graph,
            (ids, torch.ones_like(ids), *adapters),
            str(path),
            input_names=["input_ids", "attention_mask", *shapes],
            output_names=["logits", "pooled"],
            dynamic_shapes=(
                {0: batch, 1: tokens},
                {0: batch, 1: tokens},
                tuple({0: batch} for _ in adapters),
            ),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "Shape" and node.input[0] in shapes:  # asks for the rows, of which adapters may bring 1
            node.input[0] = "attention_mask"
    unpad(model)
    onnx.save(model, path)


def _gather_graph(spec: BaseSpec) -> onnx.ModelProto:
    """`slots` int64 [rows] and the banks -> what lies in those slots, in the order of the banks."""
    float32, int64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    nodes, banks, rows = [], [], []
    for name, (_, *shape) in bank_shapes(spec, 1).items():
        nodes.append(helper.make_node("Gather", [name, "slots"], [f"rows_{name}"], axis=0))
        banks.append(helper.make_tensor_value_info(name, float32, ["bank", *shape]))
        rows.append(helper.make_tensor_value_info(f"rows_{name}", float32, ["rows", *shape]))
    slots = helper.make_tensor_value_info("slots", int64, ["rows"])
    graph = helper.make_graph(nodes, "gather", [slots, *banks], rows)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)

"""What the engine must know of a base: its shapes, its limits, and where its files are.

A base bundle is an artifact folder with `graph.onnx`, `graph.int8.onnx` (the same with its frozen part in int8),
`gather.onnx`, `tokenizer.json` and `base.json`. Either graph takes `input_ids` and `attention_mask` int64
[rows, tokens], and the rows' adapters: for the i-th target layer `lora_a_i` float32 [rows, d_in, max_rank] and
`lora_b_i` [rows, max_rank, d_out], and the heads `head_weight` [rows, hidden, max_labels] and `head_bias`
[rows, max_labels]; or [1, ...] of each if all rows have the same one. It returns `logits` [rows, max_labels] and
`pooled` [rows, hidden]. `gather.onnx` takes the banks, which are the same with an axis of slots for that of rows, and
`slots` int64 [rows]; it returns the rows' adapters in the order of the banks.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from engine.precision import Precision
from store.records import Base

Pooling = Literal["mean", "cls", "pooler"]

GRAPH_FILES: dict[Precision, str] = {"fp32": "graph.onnx", "bf16": "graph.onnx", "int8": "graph.int8.onnx"}
"""What a session in this precision reads; bf16 is a way to run the fp32 graph."""
GATHER_FILE = "gather.onnx"
TOKENIZER_FILE = "tokenizer.json"
SPEC_FILE = "base.json"


@dataclass(frozen=True, slots=True)
class TargetLayer:
    """A linear layer that adapters may change; `name` is its path inside the bare backbone."""

    name: str
    d_in: int
    d_out: int


@dataclass(frozen=True, slots=True)
class BaseSpec:
    name: str
    source: str
    """Hub id or folder it was imported from."""
    aliases: tuple[str, ...]
    """Other names under which adapters may refer to the same weights."""
    revision: str
    license: str
    architecture: str
    modality: str
    task: str
    pooling: Pooling
    own_pooling: Pooling
    """What the architecture's stock classifier uses; an adapter that states nothing was made for this."""
    hidden: int
    max_tokens: int
    max_rank: int
    max_labels: int
    layers: tuple[TargetLayer, ...]
    parameters: int
    weights_sha256: str
    backbone_artifact: str
    """The weights that training starts from."""
    pad_token_id: int
    preprocessing: str
    """One sentence for people: what happens to raw input."""

    @property
    def slot_bytes(self) -> int:
        """Memory of one adapter slot, float32."""
        lora = sum((layer.d_in + layer.d_out) * self.max_rank for layer in self.layers)
        return 4 * (lora + (self.hidden + 1) * self.max_labels)


def spec_to_json(spec: BaseSpec) -> dict[str, Any]:
    """As it comes back from a file or the store, so that the two compare equal: with lists for tuples."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(spec)))
    return data


def spec_from_json(data: dict[str, Any]) -> BaseSpec:
    layers = tuple(TargetLayer(**layer) for layer in data["layers"])
    return BaseSpec(**{**data, "layers": layers, "aliases": tuple(data["aliases"])})


def base_record(
    spec: BaseSpec,
    artifact: str,
    *,
    name: str | None = None,
    speeds: Mapping[Precision, float] | None = None,
    state: str = "candidate",
    card: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
    parent: str | None = None,
    now: datetime,
) -> Base:
    """What the store keeps of an imported base.

    name: the one it gets there, the spec's own by default. speeds: tokens/s by precision, where they were measured.
    state, card, profile, parent: see store.records.Base.
    """
    return Base(
        name=name or spec.name,
        source=spec.source,
        revision=spec.revision,
        license=spec.license,
        task=spec.task,
        modality=spec.modality,
        pooling=spec.pooling,
        spec=spec_to_json(spec),
        artifact=artifact,
        speeds=dict(speeds or {}),
        state=state,
        card=dict(card or {}),
        profile=dict(profile or {}),
        parent=parent,
        created_at=now,
    )


def read_spec(bundle: Path) -> BaseSpec:
    return spec_from_json(json.loads((bundle / SPEC_FILE).read_text()))


def precisions_in(bundle: Path) -> tuple[Precision, ...]:
    """Precisions whose graph the bundle holds."""
    return tuple(precision for precision, file in GRAPH_FILES.items() if (bundle / file).exists())


def bank_shapes(spec: BaseSpec, slots: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the banks, by the name of the graph's input, in graph order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, layer in enumerate(spec.layers):
        shapes[f"lora_a_{i}"] = (slots, layer.d_in, spec.max_rank)
        shapes[f"lora_b_{i}"] = (slots, spec.max_rank, layer.d_out)
    shapes["head_weight"] = (slots, spec.hidden, spec.max_labels)
    shapes["head_bias"] = (slots, spec.max_labels)
    return shapes

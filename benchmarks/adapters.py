"""Adapters by the hundred: written as PEFT saves them, without PEFT, which takes a second for each.

They are real in shape and random in content: what they answer does not matter to how fast they do.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from benchmarks.stage import Store
from engine.adapter import CONFIG_FILE, LABELS_FILE, WEIGHTS_FILE, AdapterLabels
from engine.base import BaseSpec
from store.clock import utc_now
from store.versions import NewVersion, promote, register_version

RANK = 8
_A_TRANSACTION = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version to be made."""

    model: str
    labels: tuple[str, ...]
    seed: int


def label_names(model: str, count: int) -> tuple[str, ...]:
    """They name their model, so that an answer of another one shows."""
    return tuple(f"{model}-{i}" for i in range(count))


def write_adapter(
    folder: Path,
    spec: BaseSpec,
    labels: Sequence[str],
    *,
    seed: int,
    head: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> None:
    """head: weight [labels, hidden] and bias [labels], and then LoRA does nothing; by default all is random."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in spec.layers:
        path = f"base_model.model.bert.{layer.name}"
        b = np.zeros((layer.d_out, RANK), np.float32) if head else _normal(rng, 0.1, layer.d_out, RANK)
        tensors[f"{path}.lora_A.weight"] = _normal(rng, 0.1, RANK, layer.d_in)
        tensors[f"{path}.lora_B.weight"] = b
    weight, bias = head or (_normal(rng, 0.5, len(labels), spec.hidden), _normal(rng, 0.5, len(labels)))
    tensors |= {"base_model.model.classifier.weight": weight, "base_model.model.classifier.bias": bias}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS_FILE)
    targets = sorted({layer.name.rpartition(".")[2] for layer in spec.layers})
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": spec.source,
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": targets,
        "modules_to_save": ["classifier"],
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    (folder / LABELS_FILE).write_text(AdapterLabels(tuple(labels), spec.pooling, spec.weights_sha256).as_json())


def add_versions(store: Store, spec: BaseSpec, wanted: Sequence[Wanted]) -> None:
    """Store and register them in this order; the first version of a model goes into production."""
    with tempfile.TemporaryDirectory(prefix="driftgate-adapters-") as scratch:
        for some in _chunks(wanted, _A_TRANSACTION):
            stored = []
            for one in some:
                folder = Path(scratch, "adapter")  # the same for all: what was stored is copied
                write_adapter(folder, spec, one.labels, seed=one.seed)
                stored.append((one, store.artifacts.put("adapters", folder)))
            now = utc_now()
            with store.database.write() as session:
                for one, key in stored:
                    new = NewVersion(one.model, spec.name, key, RANK, one.labels)
                    if register_version(session, new, by="benchmark", now=now) == 1:
                        promote(session, one.model, 1, by="benchmark", reason="the first one", now=now)


def _chunks(items: Sequence[Wanted], size: int) -> list[Sequence[Wanted]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _normal(rng: np.random.Generator, std: float, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape, np.float32) * np.float32(std)

"""Reads an adapter in PEFT's own on-disk format and lays it out for the bank.

What the graph cannot compute is refused here, before anything is stored or loaded, with an error that says which
part and why. Weights are safetensors only.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from engine.base import BaseSpec, Pooling, bank_shapes
from store.errors import AdapterRefused

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
LABELS_FILE = "labels.json"

_HEADS = ("classifier", "score")
_DESCRIPTIVE = frozenset(  # these say how an adapter was made and change nothing about running it
    {
        *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision", "task_type"),
        *("init_lora_weights", "lora_dropout", "runtime_config", "ensure_weight_tying", "megatron_core"),
        *("eva_config", "loftq_config", "corda_config", "qalora_group_size"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),  # the tensors tell
        *("peft_type", "bias", "modules_to_save"),  # checked by themselves
        *("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"),  # packed
    }
)
_LABEL_LETTERS = 200
_NO_LABEL = frozenset(["\x00", *map(chr, range(0xD800, 0xE000))])  # neither UTF-8 nor PostgreSQL could hold them
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")


@dataclass(frozen=True, slots=True)
class PackedAdapter:
    """One slot's worth of every bank input, and the labels that name the columns of the logits."""

    labels: tuple[str, ...]
    rank: int
    arrays: Mapping[str, NDArray[np.float32]]
    """By graph input name, shaped as engine.base.bank_shapes without the slot axis."""


@dataclass(frozen=True, slots=True)
class AdapterLabels:
    """Our `labels.json`: what PEFT's format leaves unsaid."""

    labels: tuple[str, ...]
    pooling: Pooling | None = None
    base_sha256: str | None = None

    def as_json(self) -> str:
        return json.dumps(
            {"labels": list(self.labels), "pooling": self.pooling, "base_sha256": self.base_sha256}, indent=1
        )


def read_labels(folder: Path) -> AdapterLabels:
    """Labels of an adapter folder: `labels.json`, else `id2label` of a `config.json`. Raises AdapterRefused."""
    own = folder / LABELS_FILE
    if own.exists():
        data = _read_json(own)
        labels, pooling, base = data.get("labels"), data.get("pooling"), data.get("base_sha256")
        if not _are_strings(labels) or not _are_strings([x for x in (pooling, base) if x is not None]):
            raise AdapterRefused(f'{own} must look like {{"labels": ["billing", "refund"], "pooling": "mean"}}')
        return AdapterLabels(tuple(labels), pooling, base)
    config = folder / "config.json"
    if config.exists() and "id2label" in (data := _read_json(config)):
        by_id = data["id2label"]
        names = [by_id.get(str(i)) for i in range(len(by_id))] if isinstance(by_id, dict) else [None]
        if not _are_strings(names):
            raise AdapterRefused(f'id2label of {config} must look like {{"0": "billing", "1": "refund"}}')
        return AdapterLabels(tuple(str(name) for name in names))
    raise AdapterRefused(
        f"adapter {folder.name!r} does not name its labels; put a {LABELS_FILE} beside its weights, in the order of "
        'the head\'s rows: {"labels": ["billing", "refund"], "pooling": "mean"}'
    )


def _are_strings(values: object) -> TypeGuard[list[str]]:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def read_adapter(folder: Path, spec: BaseSpec, *, assume_base: bool = False) -> PackedAdapter:
    """Read and check a PEFT `save_pretrained` folder against base `spec`.

    assume_base: the caller vouches that the adapter was made for these weights, whatever its config names.
    Raises AdapterRefused, saying which part cannot be served and why.
    """
    name = folder.name
    config = _read_config(folder)
    labels = read_labels(folder)
    _check_base(name, config, labels, spec, assume_base)
    _check_pooling(name, labels, spec)
    _check_method(name, config)
    _check_labels(name, labels.labels, spec)
    weights = _read_weights(folder)

    packed = {key: np.zeros(shape[1:], np.float32) for key, shape in bank_shapes(spec, 1).items()}
    indices = {layer.name: i for i, layer in enumerate(spec.layers)}
    halves: dict[str, dict[str, int]] = {}
    head: set[str] = set()
    for key, value in weights.items():
        if not np.isfinite(value).all():
            raise AdapterRefused(f"adapter {name!r}: tensor {key!r} holds NaN or infinite values")
        path = key.removeprefix("base_model.model.")
        module, _, parameter = path.rpartition(".")
        if module.split(".")[0] in _HEADS:
            _pack_head(name, module, parameter, value, len(labels.labels), spec, packed)
            if parameter in head:
                raise AdapterRefused(f"adapter {name!r} has two heads; {key!r} is one too many")
            head.add(parameter)
            continue
        module, _, half = module.rpartition(".")
        if parameter != "weight" or half not in ("lora_A", "lora_B"):
            raise AdapterRefused(f"adapter {name!r}: tensor {key!r} is neither LoRA nor a classification head")
        layer = _find_layer(name, module, indices)
        found = halves.setdefault(layer, {})
        if half in found:
            raise AdapterRefused(f"adapter {name!r}: layer {layer!r} has {half} twice, the second time as {key!r}")
        found[half] = _pack_half(name, config, module, half, value, spec, indices[layer], packed)
    for layer, found in halves.items():
        if len(found) != 2:
            raise AdapterRefused(f"adapter {name!r}: layer {layer!r} has only {next(iter(found))}, not its other half")
        if found["lora_A"] != found["lora_B"]:
            raise AdapterRefused(
                f"adapter {name!r}: lora_A of layer {layer!r} has rank {found['lora_A']}, its lora_B {found['lora_B']}"
            )
    if "weight" not in head:
        raise AdapterRefused(
            f"adapter {name!r} has no classification head; save it with task_type SEQ_CLS or "
            "modules_to_save=['classifier']"
        )
    ranks = [rank for found in halves.values() for rank in found.values()]
    return PackedAdapter(labels=labels.labels, rank=max(ranks, default=1), arrays=packed)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise AdapterRefused(f"{path} is not readable JSON: {error}") from None
    if not isinstance(data, dict):
        raise AdapterRefused(f"{path} must hold one JSON object")
    return data


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    if not path.exists():
        raise AdapterRefused(f"{folder} is no PEFT adapter: {CONFIG_FILE} is missing")
    return _read_json(path)


def _check_base(name: str, config: dict[str, Any], labels: AdapterLabels, spec: BaseSpec, assume: bool) -> None:
    if labels.base_sha256 is not None:
        if labels.base_sha256 != spec.weights_sha256:
            raise AdapterRefused(
                f"adapter {name!r} was made for other base weights (sha256 {labels.base_sha256[:12]}...); "
                f"base {spec.name!r} has {spec.weights_sha256[:12]}..."
            )
        return
    said = str(config.get("base_model_name_or_path") or "")
    known = {spec.name, spec.source, *spec.aliases}
    if not assume and said.rstrip("/") not in known:
        raise AdapterRefused(
            f"adapter {name!r} was made for base {said!r}, not for {spec.name!r} (imported from {spec.source!r}); "
            "if the weights are the same, say --assume-base"
        )


def _check_pooling(name: str, labels: AdapterLabels, spec: BaseSpec) -> None:
    pooling = labels.pooling or spec.own_pooling
    if pooling != spec.pooling:
        said = "states" if labels.pooling else "states no pooling, so it was made for the architecture's own,"
        raise AdapterRefused(
            f"adapter {name!r} {said} {pooling!r}, base {spec.name!r} pools by {spec.pooling!r}; "
            f'if that is what it was trained with, say so in {LABELS_FILE}: "pooling": "{spec.pooling}"'
        )


def _check_method(name: str, config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterRefused(f"adapter {name!r} is {kind}, only LORA can be served")
    if config.get("use_dora"):
        raise AdapterRefused(
            f"adapter {name!r} uses DoRA, whose column norms cannot share a batch; train it with use_dora=False"
        )
    bias = config.get("bias", "none")
    if bias != "none":
        raise AdapterRefused(f"adapter {name!r} changes biases (bias={bias!r}); train it with bias='none'")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise AdapterRefused(f"adapter {name!r} was initialised with {start!r}, which changes the base's own weights")
    if config.get("task_type") not in (None, "SEQ_CLS"):
        raise AdapterRefused(f"adapter {name!r} is for task {config['task_type']}, this base serves SEQ_CLS")
    for extra in config.get("modules_to_save") or []:
        if extra not in _HEADS:
            raise AdapterRefused(f"adapter {name!r} replaces module {extra!r}; only a head named classifier or score")
    for key, value in config.items():
        if key not in _DESCRIPTIVE and value not in (None, False, {}, [], "", 0):
            raise AdapterRefused(f"adapter {name!r} uses {key}={value!r}, which this engine does not know how to run")


def _check_labels(name: str, labels: tuple[str, ...], spec: BaseSpec) -> None:
    if len(labels) < 2:
        raise AdapterRefused(f"adapter {name!r} has {len(labels)} label(s); a classifier needs at least 2")
    for label in labels:
        if not 0 < len(label) <= _LABEL_LETTERS or not _NO_LABEL.isdisjoint(label):
            raise AdapterRefused(
                f"adapter {name!r} has label {label[:60]!r}; a label has 1 to {_LABEL_LETTERS} letters, "
                "no NUL and no lone surrogate"
            )
    if len(set(labels)) != len(labels):
        twice = next(x for x in labels if labels.count(x) > 1)
        raise AdapterRefused(f"adapter {name!r} names label {twice!r} twice")
    if len(labels) > spec.max_labels:
        raise AdapterRefused(
            f"adapter {name!r} has {len(labels)} labels, base {spec.name!r} takes at most {spec.max_labels}; "
            f"import the base again with --max-labels {len(labels)}"
        )


def _read_weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    path = folder / WEIGHTS_FILE
    if not path.exists():
        pickled = (folder / "adapter_model.bin").exists()
        why = "it has only a pickle, which is never loaded; save it with safe_serialization=True" if pickled else ""
        raise AdapterRefused(f"{folder} has no {WEIGHTS_FILE}{'; ' + why if why else ''}")
    try:
        entries: list[tuple[str, dict[str, Any]]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise AdapterRefused(f"{path} is not a readable safetensors file: {error}") from None
    return {key: _to_float32(folder.name, key, entry) for key, entry in entries}


def _to_float32(name: str, key: str, entry: dict[str, Any]) -> NDArray[np.float32]:
    kinds = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
    data, shape, kind = entry["data"], entry["shape"], entry["dtype"]
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if kind not in kinds:
        raise AdapterRefused(f"adapter {name!r}: tensor {key!r} has type {kind}; float weights only")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        return np.frombuffer(data, kinds[kind]).astype(np.float32).reshape(shape)


def _find_layer(name: str, module: str, indices: Mapping[str, int]) -> str:
    """The base's layer that `module` names, with or without the prefix of a task model (`bert.`)."""
    bare = module.partition(".")[2]
    for candidate in (module, bare):
        if candidate in indices:
            return candidate
    targets = sorted({layer.rpartition(".")[2] for layer in indices})
    raise AdapterRefused(
        f"adapter {name!r} targets {module!r}, which the base was not exported for (it has {', '.join(targets)}); "
        f"import the base again with --lora-targets {','.join([*targets, module.rpartition('.')[2]])}"
    )


def _pack_half(
    name: str,
    config: dict[str, Any],
    module: str,
    half: str,
    value: NDArray[np.float32],
    spec: BaseSpec,
    index: int,
    packed: dict[str, NDArray[np.float32]],
) -> int:
    """Copy A or B of one layer into its padded place; returns the rank. B carries the scale."""
    target = spec.layers[index]
    rank = int((value.shape or (0,))[0 if half == "lora_A" else -1])
    expected = (rank, target.d_in) if half == "lora_A" else (target.d_out, rank)
    if value.shape != expected or rank == 0:
        raise AdapterRefused(
            f"adapter {name!r}: {half} of {module!r} has shape {value.shape}, "
            f"base {spec.name!r} needs {'[r, ' + str(target.d_in) if half == 'lora_A' else f'[{target.d_out}, r'}]"
        )
    if rank > spec.max_rank:
        raise AdapterRefused(
            f"adapter {name!r} has rank {rank}, base {spec.name!r} takes at most {spec.max_rank}; "
            f"import the base again with --max-rank {rank}"
        )
    if half == "lora_A":
        packed[f"lora_a_{index}"][:, :rank] = value.T
        return rank
    alpha = _alpha(name, config, module)
    scale = lora_scale(alpha, rank, rslora=bool(config.get("use_rslora")))
    scaled = value.T.astype(np.float64) * scale
    if np.abs(scaled).max() > np.finfo(np.float32).max:
        raise AdapterRefused(f"adapter {name!r}: lora_B of {module!r} times {scale:g} is too large for float32")
    packed[f"lora_b_{index}"][:rank] = scaled
    return rank


def lora_scale(alpha: float, rank: int, *, rslora: bool) -> float:
    """alpha/r (Hu et al. 2021, arXiv:2106.09685); alpha/sqrt(r) for rsLoRA (Kalajdzievski 2023, arXiv:2312.03732)."""
    return alpha / (sqrt(rank) if rslora else rank)


def _alpha(name: str, config: dict[str, Any], module: str) -> float:
    """lora_alpha, or PEFT's override for this module: the first pattern, a regular expression, that its path ends in
    (peft.utils.other.get_pattern_key)."""
    patterns = config.get("alpha_pattern") or {}
    try:
        override = next((v for k, v in patterns.items() if re.match(rf"(.*\.)?({k})$", module)), None)
    except (re.error, AttributeError) as error:
        raise AdapterRefused(f"adapter {name!r}: alpha_pattern {patterns!r} cannot be used: {error}") from None
    alpha = config.get("lora_alpha", 8) if override is None else override
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not isfinite(alpha):
        raise AdapterRefused(f"adapter {name!r}: the alpha of {module!r} is {alpha!r}, it must be a finite number")
    return alpha


def _pack_head(
    name: str,
    module: str,
    parameter: str,
    value: NDArray[np.float32],
    labels: int,
    spec: BaseSpec,
    packed: dict[str, NDArray[np.float32]],
) -> None:
    if module not in _HEADS:
        raise AdapterRefused(f"adapter {name!r} has a head of several layers ({module!r}); only one linear layer")
    if parameter not in ("weight", "bias"):
        raise AdapterRefused(f"adapter {name!r}: {parameter!r} is no part of a linear head")
    expected = (labels, spec.hidden) if parameter == "weight" else (labels,)
    if value.shape != expected:
        raise AdapterRefused(
            f"adapter {name!r}: head {parameter} has shape {value.shape}, {labels} labels on base {spec.name!r} "
            f"need {expected}"
        )
    if parameter == "weight":
        packed["head_weight"][:, :labels] = value.T
    else:
        packed["head_bias"][:labels] = value

"""Adapters for tests, made by PEFT itself, and PEFT's own answers to compare with."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from engine.adapter import LABELS_FILE, WEIGHTS_FILE, AdapterLabels
from engine.base import BaseSpec
from retrain.backbone import load_classifier


def task_model(source: Path, spec: BaseSpec, labels: int) -> Any:
    """What a user would fine-tune: the stock SEQ_CLS model, or our pooled classifier where the base pools itself."""
    if spec.pooling == spec.own_pooling:
        return AutoModelForSequenceClassification.from_pretrained(source, num_labels=labels, dtype=torch.float32)
    return load_classifier(source, spec, labels)


def save_random_adapter(
    folder: Path,
    source: Path,
    spec: BaseSpec,
    *,
    labels: tuple[str, ...] = ("no", "yes"),
    rank: int = 8,
    alpha: int = 16,
    targets: tuple[str, ...] = ("query", "value"),
    rslora: bool = False,
    dora: bool = False,
    seed: int = 0,
    scale: float = 0.3,
) -> None:
    torch.manual_seed(seed)
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=alpha,
        target_modules=list(targets),
        use_rslora=rslora,
        use_dora=dora,
    )
    model = get_peft_model(task_model(source, spec, len(labels)), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=scale / rank**0.5)
            elif "modules_to_save" in name:
                parameter.normal_(std=0.5)
    model.peft_config["default"].base_model_name_or_path = str(source)
    model.save_pretrained(folder)
    (folder / LABELS_FILE).write_text(AdapterLabels(labels, spec.pooling).as_json())


def set_head(folder: Path, *, weight: NDArray[np.floating], bias: NDArray[np.floating]) -> None:
    """Give a saved adapter another head. weight: [labels, hidden]; bias: [labels]."""
    path = folder / WEIGHTS_FILE
    tensors = load_file(path)
    (stem,) = {name.rpartition(".")[0] for name in tensors if name.endswith("classifier.weight")}
    tensors[f"{stem}.weight"] = np.ascontiguousarray(weight, np.float32)
    tensors[f"{stem}.bias"] = np.ascontiguousarray(bias, np.float32)
    save_file(tensors, path)


def peft_logits(folder: Path, source: Path, spec: BaseSpec, labels: int, texts: list[str]) -> NDArray[np.float32]:
    """[texts, labels] as PEFT computes them in PyTorch, one text at a time, without padding."""
    model = PeftModel.from_pretrained(task_model(source, spec, labels), folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(source)
    rows = []
    with torch.no_grad():
        for text in texts:
            encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=spec.max_tokens)
            encoded.pop("token_type_ids", None)
            rows.append(model(**encoded).logits[0].numpy())
    return np.stack(rows)

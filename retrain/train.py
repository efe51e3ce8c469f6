"""Trains LoRA matrices and a head with PEFT on transformers' Trainer, so that a killed training goes on.

The working checkpoints lie in the run's own folder and are Trainer's; what leaves this module is safetensors in
PEFT's format. AdamW with its own learning rate for the head, linear warm-up and decay, gradient clipping, batches of
similar length, a checkpoint an epoch, early stopping, and the epoch with the lowest validation loss kept.
A checkpoint counts only once its list of files was written: Trainer fills the folder under its final name, and would
go on from half of one.
"""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging as transformers_logging

from engine.adapter import CONFIG_FILE, LABELS_FILE, WEIGHTS_FILE, AdapterLabels, read_labels
from engine.base import TOKENIZER_FILE, BaseSpec
from retrain.backbone import load_classifier
from retrain.dataset import Row
from retrain.strategy import TrainingPlan

OnStep = Callable[[int, float, Mapping[str, float]], None]
"""Called with the step, the share done (0 to 1) and the figures logged at this step; may raise to stop."""


def train_adapter(
    backbone: Path,
    spec: BaseSpec,
    plan: TrainingPlan,
    train: Sequence[Row],
    validation: Sequence[Row],
    *,
    labels: Sequence[str],
    start: Path | None,
    work: Path,
    on_step: OnStep,
) -> Path:
    """Train on `train`, choose the epoch on `validation`; goes on from the last checkpoint in `work` if there is one.

    backbone: folder with config.json and model.safetensors. labels: the adapter's classes, in order.
    start: an adapter to start from where its layers fit, the production version's as a rule; None starts afresh.
    Returns a folder with adapter_config.json, adapter_model.safetensors and labels.json.
    """
    set_seed(plan.seed)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    model = get_peft_model(load_classifier(backbone, spec, len(labels)), _lora_config(plan))
    model.peft_config["default"].base_model_name_or_path = spec.source
    if start is not None:
        _continue_from(model, start, labels)
    dataset = _encode(backbone, spec, train, labels)
    arguments = TrainingArguments(
        output_dir=str(work / "checkpoints"),
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=plan.batch_rows,
        per_device_eval_batch_size=2 * plan.batch_rows,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=plan.warmup_ratio,
        weight_decay=plan.weight_decay,
        max_grad_norm=plan.gradient_clip,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        logging_steps=10,
        disable_tqdm=True,
        report_to="none",
        seed=plan.seed,
        data_seed=plan.seed,
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=lambda rows: _collate(rows, spec.pad_token_id),
        train_dataset=dataset,
        eval_dataset=_encode(backbone, spec, validation, labels),
        compute_metrics=_accuracy,
        callbacks=[_Progress(on_step), _SealCheckpoints(), EarlyStoppingCallback(plan.patience)],
        optimizers=(_optimizer(model, plan), None),
    )
    trainer.remove_callback(PrinterCallback)
    last = last_whole_checkpoint(Path(arguments.output_dir))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Trainer's own workings; our callers cannot act on them
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return _save(model, spec, labels, work)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in `folder` that was written to its end and not begun to be deleted; None without one."""
    found = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _is_whole(path)]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / _SEAL).read_text())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except FileNotFoundError:
        return False


def _continue_from(model: Any, start: Path, labels: Sequence[str]) -> None:
    """Copy what fits: LoRA matrices if all of them have the plan's shapes, and the head's rows of known labels."""
    saved = load_file(start / WEIGHTS_FILE)
    lora = {name: p for name, p in model.named_parameters() if "lora_" in name}
    matching = {name: saved.get(name.replace(".default.", ".")) for name in lora}
    if any(value is None or value.shape != lora[name].shape for name, value in matching.items()):
        return
    head = model.get_base_model().classifier.modules_to_save["default"]
    known = read_labels(start).labels
    with torch.no_grad():
        for name, value in matching.items():
            lora[name].copy_(value)
        for row, label in enumerate(labels):
            if label in known:
                head.weight[row] = saved["base_model.model.classifier.weight"][known.index(label)]
                head.bias[row] = saved["base_model.model.classifier.bias"][known.index(label)]


def _lora_config(plan: TrainingPlan) -> LoraConfig:
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=plan.rank,
        lora_alpha=plan.alpha,
        lora_dropout=plan.lora_dropout,
        target_modules=list(plan.targets),
    )


def _optimizer(model: Any, plan: TrainingPlan) -> torch.optim.Optimizer:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    head = [p for name, p in named if "classifier" in name]
    lora = [p for name, p in named if "classifier" not in name]
    groups = [{"params": lora, "lr": plan.learning_rate}, {"params": head, "lr": plan.head_learning_rate}]
    return torch.optim.AdamW(groups, weight_decay=plan.weight_decay)


def _encode(backbone: Path, spec: BaseSpec, rows: Sequence[Row], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as the Trainer wants them: input_ids [tokens], cut at the base's limit, and the label's index."""
    tokenizer = Tokenizer.from_file(str(backbone / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.enable_truncation(spec.max_tokens)
    index = {label: i for i, label in enumerate(labels)}
    encodings = tokenizer.encode_batch([row.text for row in rows])
    return [
        {"input_ids": encoding.ids, "length": len(encoding.ids), "labels": index[row.label]}
        for encoding, row in zip(encodings, rows, strict=True)
    ]


def _collate(rows: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), longest), pad_token_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
        mask[i, : len(row["input_ids"])] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}


def _accuracy(outputs: Any) -> dict[str, float]:
    logits: NDArray[np.float32] = outputs.predictions
    return {"accuracy": float((logits.argmax(axis=-1) == outputs.label_ids).mean())}


def _save(model: Any, spec: BaseSpec, labels: Sequence[str], work: Path) -> Path:
    """Leave the adapter whole or not at all."""
    incoming, folder = work / "adapter.incoming", work / "adapter"
    shutil.rmtree(incoming, ignore_errors=True)
    model.save_pretrained(incoming, safe_serialization=True)
    for extra in incoming.iterdir():
        if extra.name not in (CONFIG_FILE, WEIGHTS_FILE):
            extra.unlink()
    _order_config(incoming / CONFIG_FILE)
    own = AdapterLabels(tuple(labels), spec.pooling, spec.weights_sha256)
    (incoming / LABELS_FILE).write_text(own.as_json())
    incoming.rename(folder)
    return folder


def _order_config(file: Path) -> None:
    """PEFT writes the target modules in the order of a set, which is another one in each process."""
    config = json.loads(file.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2, sort_keys=True))


_SEAL = "complete.json"
"""In a checkpoint, written last: the size of each of its files, by path."""


class _SealCheckpoints(TrainerCallback):
    """Says of a checkpoint that all of it is there."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")
        files = [path for path in folder.rglob("*") if path.is_file()]
        incoming = folder / f"{_SEAL}.incoming"
        incoming.write_text(json.dumps({str(path.relative_to(folder)): path.stat().st_size for path in files}))
        os.replace(incoming, folder / _SEAL)


class _Progress(TrainerCallback):
    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._on_step(state.global_step, state.global_step / max(1, state.max_steps), {})

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        kept = {name: float(value) for name, value in (logs or {}).items() if name in _CURVES}
        if kept:
            self._on_step(state.global_step, state.global_step / max(1, state.max_steps), kept)


_CURVES = frozenset({"loss", "eval_loss", "eval_accuracy", "learning_rate", "grad_norm"})

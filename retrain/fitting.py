"""Fits a model with transformers' Trainer so that a killed training goes on where it was.

Batches of similar length, gradient clipping, a checkpoint an epoch, early stopping, and the epoch with the lowest
validation loss kept. The working checkpoints lie in the run's own folder and are Trainer's; a checkpoint counts only
once its list of files was written: Trainer fills the folder under its final name, and would go on from half of one.
"""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging as transformers_logging

from retrain.dataset import Row
from retrain.optimizer import make_optimizer, make_schedule
from retrain.strategy import TrainingPlan

OnStep = Callable[[int, float, Mapping[str, float]], None]
"""Called with the step, the share done (0 to 1) and the figures logged at this step; may raise to stop."""

Encoded = Mapping[str, Any]
"""A row as the Trainer wants it: input_ids [tokens], length, the label's index, and what the row counts."""

_GLANCE_ROWS = 256
"""Validation rows that are looked at between epochs."""
_SAME_EPOCH = 1e-6
"""Trainer counts epochs in floating point."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of a training; the model that was handed in holds its best epoch."""

    validation_loss: float
    """Nats a row."""
    validation_accuracy: float
    epochs: float
    """That were trained, the best one among them."""


def fit(
    model: nn.Module,
    plan: TrainingPlan,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    *,
    layers: int,
    pad_token_id: int,
    checkpoints: Path,
    on_step: OnStep,
    epochs: float | None = None,
) -> Fitted:
    """Train `model` in place; goes on from the last whole checkpoint in `checkpoints` if there is one.

    layers: of its backbone. epochs: at which to leave off although the schedule goes on to `plan.epochs`; where a
    checkpoint is that far already, nothing is trained and `model` stays as it is.
    """
    last = last_whole_checkpoint(checkpoints)
    if epochs is not None and last is not None:
        state = json.loads((last / TRAINER_STATE_NAME).read_text())
        if state["epoch"] >= epochs - _SAME_EPOCH:
            return _best(state["log_history"], until=epochs)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=plan.batch_rows,
        per_device_eval_batch_size=2 * plan.batch_rows,
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
    optimizer = make_optimizer(model, plan, layers=layers)
    steps = plan.epochs * -(-len(train) // plan.batch_rows)
    glance = _Glance(model, _spread(validation, _GLANCE_ROWS), plan, pad_token_id, on_step)
    callbacks = [_Progress(on_step), glance, _SealCheckpoints(), EarlyStoppingCallback(plan.patience)]
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=lambda rows: collate(rows, pad_token_id),
        train_dataset=list(train),
        eval_dataset=list(validation),
        compute_metrics=_accuracy,
        callbacks=[*callbacks, *([] if epochs is None else [_LeaveOff(epochs)])],
        optimizers=(optimizer, make_schedule(optimizer, plan, steps=steps)),
    )
    trainer.remove_callback(PrinterCallback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Trainer's own workings; our callers cannot act on them
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return _best(trainer.state.log_history)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in `folder` that was written to its end and not begun to be deleted; None without one."""
    found = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _is_whole(path)]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def encode(
    tokenizer_file: Path,
    rows: Sequence[Row],
    labels: Sequence[str],
    *,
    max_tokens: int,
    weights: Sequence[float] | None = None,
) -> list[Encoded]:
    """Rows for `fit`, cut at `max_tokens`. weights: how much each row counts; all the same without them."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    index = {label: i for i, label in enumerate(labels)}
    encodings = tokenizer.encode_batch([row.text for row in rows])
    return [
        {"input_ids": encoding.ids, "length": len(encoding.ids), "labels": index[row.label], "weights": weight}
        for encoding, row, weight in zip(encodings, rows, weights or [1.0] * len(rows), strict=True)
    ]


def collate(rows: Sequence[Encoded], pad_token_id: int) -> dict[str, Tensor]:
    """One padded batch: input_ids, attention_mask int64 [rows, longest], labels int64 and weights float32 [rows]."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), longest), pad_token_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
        mask[i, : len(row["input_ids"])] = 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": torch.tensor([row["labels"] for row in rows]),
        "weights": torch.tensor([row["weights"] for row in rows], dtype=torch.float32),
    }


def _best(history: Sequence[Mapping[str, Any]], *, until: float = inf) -> Fitted:
    """history: what Trainer logged. until: epoch after which nothing counts."""
    evaluated = [entry for entry in history if "eval_loss" in entry and entry["epoch"] <= until + _SAME_EPOCH]
    best = min(evaluated, key=lambda entry: float(entry["eval_loss"]))
    return Fitted(float(best["eval_loss"]), float(best["eval_accuracy"]), float(evaluated[-1]["epoch"]))


def _spread(rows: Sequence[Encoded], count: int) -> list[Encoded]:
    """`count` of the rows, evenly spread over them; all if there are no more."""
    step = max(1.0, len(rows) / count)
    return [rows[int(i * step)] for i in range(min(count, len(rows)))]


def _accuracy(outputs: Any) -> dict[str, float]:
    logits: NDArray[np.float32] = outputs.predictions
    return {"accuracy": float((logits.argmax(axis=-1) == outputs.label_ids).mean())}


def _is_whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / _SEAL).read_text())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except FileNotFoundError:
        return False


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


class _Glance(TrainerCallback):
    """Between epochs, looks at some validation rows every `plan.validate_steps` steps: a curve, not a judgement."""

    def __init__(
        self, model: nn.Module, rows: Sequence[Encoded], plan: TrainingPlan, pad_token_id: int, on_step: OnStep
    ) -> None:
        self._model = model
        self._every = plan.validate_steps
        self._on_step = on_step
        by_length = sorted(rows, key=lambda row: int(row["length"]))
        size = 2 * plan.batch_rows
        self._batches = [collate(by_length[i : i + size], pad_token_id) for i in range(0, len(rows), size)]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        steps_an_epoch = max(1, round(state.max_steps / args.num_train_epochs))
        if state.global_step % self._every or state.global_step % steps_an_epoch == 0:
            return
        self._on_step(state.global_step, state.global_step / state.max_steps, {"validation_loss": self._loss()})

    def _loss(self) -> float:
        device = next(self._model.parameters()).device
        was_training = self._model.training
        self._model.eval()
        total, rows = 0.0, 0
        with torch.no_grad():
            for batch in self._batches:
                count = len(batch["labels"])
                loss = self._model(**{name: value.to(device) for name, value in batch.items()}).loss
                total, rows = total + float(loss) * count, rows + count
        self._model.train(was_training)
        return total / rows


class _LeaveOff(TrainerCallback):
    """Ends the training after an epoch, although its schedule goes on."""

    def __init__(self, epochs: float) -> None:
        self._epochs = epochs

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.epoch >= self._epochs - _SAME_EPOCH:
            control.should_training_stop = True

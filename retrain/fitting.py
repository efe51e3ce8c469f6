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
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging

from engine.adapter import WEIGHTS_FILE
from retrain.dataset import Row
from retrain.optimizer import make_optimizer, make_schedule
from retrain.strategy import TrainingPlan
from store.errors import Refused

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
    checkpoint is that far already, nothing is trained and `model` stays as it is. Raises Refused for a training that
    diverged.
    """
    last = last_whole_checkpoint(checkpoints)
    if last is not None:
        state = json.loads((last / TRAINER_STATE_NAME).read_text())
        if epochs is not None and state["epoch"] >= epochs - _SAME_EPOCH:
            _tell_again(state["log_history"], on_step, until=epochs)
            return _best(state["log_history"], until=epochs)
        if _is_over(state, plan):
            _load_weights(model, checkpoints / f"{PREFIX_CHECKPOINT_DIR}-{state['best_global_step']}")
            return _best(state["log_history"])
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    at_once = plan.rows_at_once or plan.batch_rows
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=plan.batch_rows // at_once,
        per_device_eval_batch_size=2 * at_once,
        max_grad_norm=plan.gradient_clip,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        logging_steps=10,
        logging_nan_inf_filter=False,
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
    """Rows for `fit`, cut at `max_tokens`. weights: how much each row counts, whatever their sum; all the same without
    them."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    index = {label: i for i, label in enumerate(labels)}
    encodings = tokenizer.encode_batch([row.text for row in rows])
    counts = weights or [1.0] * len(rows)
    mean = sum(counts) / len(counts)
    return [
        {"input_ids": encoding.ids, "length": len(encoding.ids), "labels": index[row.label], "weights": count / mean}
        for encoding, row, count in zip(encodings, rows, counts, strict=True)
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


def _is_over(state: Mapping[str, Any], plan: TrainingPlan) -> bool:
    """Whether Trainer stopped at this state, for want of epochs or of anything that got better."""
    losses = [float(entry["eval_loss"]) for entry in state["log_history"] if "eval_loss" in entry]
    since_best = len(losses) - 1 - losses.index(min(losses))
    return state["epoch"] >= plan.epochs - _SAME_EPOCH or since_best >= plan.patience


def _load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Those that Trainer saved: of LoRA the adapter alone."""
    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, load_file(checkpoint / WEIGHTS_FILE))
    else:
        model.load_state_dict(load_file(checkpoint / SAFE_WEIGHTS_NAME))


def _tell_again(history: Sequence[Mapping[str, Any]], on_step: OnStep, *, until: float) -> None:
    for entry in history:
        if entry["epoch"] <= until + _SAME_EPOCH and (figures := _curves_of(entry)):
            on_step(entry["step"], entry["epoch"] / until, figures)


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
        if figures := _curves_of(logs or {}):
            _require_finite(state.global_step, figures)
            self._on_step(state.global_step, state.global_step / max(1, state.max_steps), figures)


_CURVES = frozenset({"loss", "eval_loss", "eval_accuracy", "learning_rate", "grad_norm"})


def _curves_of(logged: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in logged.items() if name in _CURVES}


def _require_finite(step: int, figures: Mapping[str, float]) -> None:
    wrong = next((name for name, value in figures.items() if not isfinite(value)), None)
    if wrong is not None:
        raise Refused(
            f"the training diverged at step {step}: {wrong} is {figures[wrong]}; take a smaller learning_rate and "
            "head_learning_rate, or a smaller gradient_clip"
        )


class _Glance(TrainerCallback):
    """Between epochs, looks at some validation rows every `plan.validate_steps` steps: a curve, not a judgement."""

    def __init__(
        self, model: nn.Module, rows: Sequence[Encoded], plan: TrainingPlan, pad_token_id: int, on_step: OnStep
    ) -> None:
        self._model = model
        self._every = plan.validate_steps
        self._on_step = on_step
        by_length = sorted(rows, key=lambda row: int(row["length"]))
        size = 2 * (plan.rows_at_once or plan.batch_rows)
        self._batches = [collate(by_length[i : i + size], pad_token_id) for i in range(0, len(rows), size)]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        steps_an_epoch = max(1, round(state.max_steps / args.num_train_epochs))
        if state.global_step % self._every or state.global_step % steps_an_epoch == 0:
            return
        figures = {"validation_loss": self._loss()}
        _require_finite(state.global_step, figures)
        self._on_step(state.global_step, state.global_step / state.max_steps, figures)

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

"""Trains what a plan asks for: a head, LoRA matrices, some layers of the backbone or all of them.

What leaves this module is safetensors in PEFT's format, and a tuned backbone in that of transformers.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import set_seed

from engine.adapter import CONFIG_FILE, WEIGHTS_FILE, read_labels
from engine.base import TOKENIZER_FILE, BaseSpec
from retrain.backbone import PooledClassifier, encoder_layers, load_backbone, load_classifier
from retrain.dataset import Row
from retrain.fitting import Encoded, Fitted, OnStep, encode, fit
from retrain.head import fit_head
from retrain.losses import row_loss
from retrain.strategy import TrainingPlan
from retrain.trained import Figures, Trained, TrainedFolder, save_head
from retrain.unfreeze import Stage, plan_stages

Origin = Literal["production", "pretrained"]
"""Weights that a training started from."""
GetFeatures = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to their frozen features [texts, hidden]."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    train: Sequence[Row]
    validation: Sequence[Row]
    labels: tuple[str, ...]
    """Classes, in the order of the logits."""
    weights: Sequence[float] | None = None
    """How much each training row counts; all the same without them."""


@dataclass(frozen=True, slots=True)
class Start:
    """A version to start from, the production version as a rule."""

    adapter: Path
    backbone: Path | None = None
    """Its own weights, if it has any."""


def train_version(
    backbone: Path,
    spec: BaseSpec,
    plan: TrainingPlan,
    data: TrainingData,
    *,
    features: GetFeatures,
    start: Start | None,
    work: Path,
    on_step: OnStep,
) -> Trained:
    """Train on the training rows, choose the epoch on the validation rows; goes on from what lies in `work`.

    backbone: folder with config.json, model.safetensors and tokenizer.json. start: where to start from, if its layers
    fit those of the plan; None starts from the pretrained weights. Raises Refused for a backbone without layers.
    """
    folder = TrainedFolder(work)
    if (finished := folder.read()) is not None:
        return finished
    if plan.strategy == "head":
        return _train_head(spec, plan, data, features, folder, on_step)
    tokenizer = backbone / TOKENIZER_FILE
    job = _Job(
        backbone=backbone,
        spec=spec,
        plan=plan,
        labels=data.labels,
        train=encode(tokenizer, data.train, data.labels, max_tokens=spec.max_tokens, weights=data.weights),
        validation=encode(tokenizer, data.validation, data.labels, max_tokens=spec.max_tokens),
        start=start,
        work=work,
    )
    return _train_lora(job, folder, on_step) if plan.strategy == "lora" else _train_backbone(job, folder, on_step)


@dataclass(frozen=True, slots=True)
class _Job:
    """A training by gradient descent."""

    backbone: Path
    spec: BaseSpec
    plan: TrainingPlan
    labels: tuple[str, ...]
    train: list[Encoded]
    validation: list[Encoded]
    start: Start | None
    work: Path

    def fit(self, model: nn.Module, layers: int, name: str, on_step: OnStep, **options: Any) -> Fitted:
        """name: of the folder below `checkpoints` in `work` that holds them."""
        return fit(
            model,
            options.pop("plan", self.plan),
            self.train,
            self.validation,
            layers=layers,
            pad_token_id=self.spec.pad_token_id,
            checkpoints=self.work / "checkpoints" / name,
            on_step=on_step,
            **options,
        )


def _train_head(
    spec: BaseSpec,
    plan: TrainingPlan,
    data: TrainingData,
    features: GetFeatures,
    folder: TrainedFolder,
    on_step: OnStep,
) -> Trained:
    index = {label: i for i, label in enumerate(data.labels)}
    seen = features([row.text for row in [*data.train, *data.validation]])
    true = np.array([index[row.label] for row in [*data.train, *data.validation]], np.int64)
    count = len(data.train)
    steps = iter(range(1, 1_000))

    def on_fit(share: float, loss: float, accuracy: float) -> None:
        on_step(next(steps), share, {"eval_loss": loss, "eval_accuracy": accuracy})

    head = fit_head(
        seen[:count],
        true[:count],
        seen[count:],
        true[count:],
        classes=len(data.labels),
        row_weights=None if data.weights is None else np.asarray(data.weights),
        on_fit=on_fit,
    )
    save_head(folder.begin(), _config_of_head(plan, spec), head.weight, head.bias)
    figures = Figures(
        head.weight.size + head.bias.size, head.validation_loss, head.validation_accuracy, 0, "pretrained"
    )
    return folder.finish(spec, data.labels, figures)


def _train_lora(job: _Job, folder: TrainedFolder, on_step: OnStep) -> Trained:
    def make(origin: Origin) -> Any:
        set_seed(job.plan.seed)
        classifier = load_classifier(job.backbone, job.spec, len(job.labels), loss=row_loss(job.plan))
        model = get_peft_model(classifier, _peft_config(job.plan))
        model.peft_config["default"].base_model_name_or_path = job.spec.source  # peft puts the folder there
        if origin == "production" and job.start is not None:
            _continue_adapter(model, job.start, job.plan, job.labels)
        return model

    layers = len(encoder_layers(make("pretrained").get_base_model().backbone))
    can_continue = job.start is not None and _continue_adapter(make("pretrained"), job.start, job.plan, job.labels)
    model, fitted, origin = _fit_from_the_better(job, make, layers, on_step, can_continue=can_continue)
    model.save_pretrained(folder.begin(), safe_serialization=True)
    return folder.finish(job.spec, job.labels, _figures(model, fitted, origin))


def _train_backbone(job: _Job, folder: TrainedFolder, on_step: OnStep) -> Trained:
    plan, start = job.plan, job.start

    def make(origin: Origin) -> PooledClassifier:
        set_seed(plan.seed)
        own = start.backbone if start is not None and origin == "production" else None
        loaded = load_backbone(own or job.backbone, random_weights=plan.strategy == "scratch")
        model = PooledClassifier(loaded, job.spec.pooling, len(job.labels), loss=row_loss(plan))
        if start is not None and own is not None:
            _continue_head(model.classifier, start, job.labels)
        _unfreeze(model, encoder_layers(loaded), plan_stages(plan, layers=len(encoder_layers(loaded)))[-1])
        return model

    layers = len(encoder_layers(make("pretrained").backbone))
    if plan.gradual:
        model = make("pretrained")
        figures = _fit_gradually(job, model, on_step)
    else:
        can_continue = start is not None and start.backbone is not None
        model, fitted, origin = _fit_from_the_better(job, make, layers, on_step, can_continue=can_continue)
        figures = _figures(model, fitted, origin)
    head = model.classifier
    weight, bias = head.weight.detach().cpu().numpy(), head.bias.detach().cpu().numpy()
    save_head(folder.begin(), _config_of_head(plan, job.spec), weight, bias)
    folder.keep_backbone(model.backbone, job.backbone / TOKENIZER_FILE)
    return folder.finish(job.spec, job.labels, figures)


def _fit_from_the_better(
    job: _Job, make: Callable[[Origin], Any], layers: int, on_step: OnStep, *, can_continue: bool
) -> tuple[Any, Fitted, Origin]:
    """Fit from the production version's weights or from the pretrained ones, whichever validates better.

    Both are trained for an epoch, and the better one goes on from there.
    """
    if not can_continue:
        model = make("pretrained")
        return model, job.fit(model, layers, "from-pretrained", on_step), "pretrained"
    losses: dict[Origin, float] = {}
    told: dict[Origin, list[tuple[int, Mapping[str, float]]]] = {"production": [], "pretrained": []}
    epochs = job.plan.epochs
    raced = len(told) / (epochs + 1)
    for place, origin in enumerate(told):

        def on_race(
            step: int, share: float, figures: Mapping[str, float], place: int = place, origin: Origin = origin
        ) -> None:
            on_step(step, (place + share * epochs) / (epochs + 1), {})
            told[origin].append((step, figures))

        losses[origin] = job.fit(make(origin), layers, f"from-{origin}", on_race, epochs=1).validation_loss
    better: Origin = min(losses, key=lambda origin: losses[origin])
    for step, figures in told[better]:
        on_step(step, raced, figures)

    def on_rest(step: int, share: float, figures: Mapping[str, float]) -> None:
        on_step(step, (1 + share * epochs) / (epochs + 1), figures)

    model = make(better)
    return model, job.fit(model, layers, f"from-{better}", on_rest), better


def _fit_gradually(job: _Job, model: PooledClassifier, on_step: OnStep) -> Figures:
    """Stage by stage; a stage that does not help on validation is taken back, and is the last."""
    layers = encoder_layers(model.backbone)
    stages = plan_stages(job.plan, layers=len(layers))
    steps_an_epoch = -(-len(job.train) // job.plan.batch_rows)
    figures: Figures | None = None
    kept: Mapping[str, Tensor] = {}
    before = 0
    for number, stage in enumerate(stages):

        def on_stage(
            step: int, share: float, told: Mapping[str, float], number: int = number, before: int = before
        ) -> None:
            on_step(before + step, (number + share) / len(stages), told)

        before += stage.epochs * steps_an_epoch
        _unfreeze(model, layers, stage)
        of_stage = replace(job.plan, epochs=stage.epochs)
        fitted = job.fit(model, len(layers), f"stage-{number}", on_stage, plan=of_stage)
        if figures is not None and fitted.validation_loss >= figures.validation_loss:
            model.load_state_dict(kept)
            break
        figures = _figures(model, fitted, "pretrained")
        kept = {name: value.clone() for name, value in model.state_dict().items()}
    assert figures is not None  # noqa: S101  # there is at least one stage
    return figures


def _unfreeze(model: PooledClassifier, layers: Sequence[nn.Module], stage: Stage) -> None:
    """Let the head and the stage's layers learn, and nothing else; what follows the last layer learns with it."""
    model.backbone.requires_grad_(stage.whole)
    for layer in layers[len(layers) - stage.top_layers :]:
        layer.requires_grad_(True)
    pooler = getattr(model.backbone, "pooler", None)
    if isinstance(pooler, nn.Module):
        pooler.requires_grad_(stage.top_layers > 0 and model.pooling == "pooler")


def _peft_config(plan: TrainingPlan) -> LoraConfig:
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=plan.rank,
        lora_alpha=plan.alpha,
        use_rslora=plan.rslora,
        lora_dropout=plan.lora_dropout,
        target_modules=list(plan.targets),
        modules_to_save=["classifier"],
        inference_mode=False,
    )


def _config_of_head(plan: TrainingPlan, spec: BaseSpec) -> LoraConfig:
    """Of an adapter whose matrices change nothing and are therefore left out."""
    config = _peft_config(replace(plan, rank=1, alpha=1))
    config.base_model_name_or_path = spec.source
    return config


def _continue_adapter(model: Any, start: Start, plan: TrainingPlan, labels: Sequence[str]) -> bool:
    """Copy matrices and head of `start`, if they would mean the same here: whether they do.

    They do where the same layers have them, of the same rank, and what they add is scaled alike.
    """
    config = json.loads((start.adapter / CONFIG_FILE).read_text())
    theirs = _scale(config["lora_alpha"], config["r"], rslora=config.get("use_rslora", False))
    if theirs != _scale(plan.alpha, plan.rank, rslora=plan.rslora) or config.get("alpha_pattern"):
        return False
    saved = {name: value for name, value in load_file(start.adapter / WEIGHTS_FILE).items() if "lora_" in name}
    own = {name.replace(".default.", "."): p for name, p in model.named_parameters() if "lora_" in name}
    if {name: value.shape for name, value in saved.items()} != {name: p.shape for name, p in own.items()}:
        return False
    with torch.no_grad():
        for name, value in saved.items():
            own[name].copy_(value)
    _continue_head(model.get_base_model().classifier.modules_to_save["default"], start, labels)
    return True


def _scale(alpha: float, rank: int, *, rslora: bool) -> float:
    return float(alpha / (sqrt(rank) if rslora else rank))


def _continue_head(head: nn.Linear, start: Start, labels: Sequence[str]) -> None:
    """Copy the rows of the labels that `start` knows. An imported head may be called `score`, and have no bias."""
    saved = {
        name.rpartition(".")[2]: value
        for name, value in load_file(start.adapter / WEIGHTS_FILE).items()
        if "lora_" not in name
    }
    known = read_labels(start.adapter).labels
    with torch.no_grad():
        for row, label in enumerate(labels):
            if label in known:
                head.weight[row] = saved["weight"][known.index(label)]
                head.bias[row] = saved["bias"][known.index(label)] if "bias" in saved else 0.0


def _figures(model: nn.Module, fitted: Fitted, origin: Origin) -> Figures:
    return Figures(
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        validation_loss=fitted.validation_loss,
        validation_accuracy=fitted.validation_accuracy,
        epochs=fitted.epochs,
        started_from=origin,
    )

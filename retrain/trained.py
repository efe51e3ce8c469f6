"""What a training leaves: an adapter, and for strategies that change the backbone its weights; whole or not at all."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from engine.adapter import CONFIG_FILE, LABELS_FILE, WEIGHTS_FILE, AdapterLabels
from engine.base import TOKENIZER_FILE, BaseSpec
from store.artifacts import digest_file

_FOLDER, _ADAPTER, _BACKBONE, _FIGURES = "trained", "adapter", "backbone", "figures.json"
BACKBONE_WEIGHTS = "model.safetensors"
BACKBONE_FILES = ("config.json", BACKBONE_WEIGHTS, TOKENIZER_FILE)


@dataclass(frozen=True, slots=True)
class Figures:
    trainable_parameters: int
    validation_loss: float
    """Nats a row."""
    validation_accuracy: float
    epochs: float
    """That were trained; 0 for a head that was solved."""
    started_from: str
    """`production` or `pretrained`."""


@dataclass(frozen=True, slots=True)
class Trained:
    adapter: Path
    """PEFT folder; of a tuned backbone it holds the head alone."""
    backbone: Path | None
    """config.json, model.safetensors and tokenizer.json of a tuned backbone; None where the base's own serves."""
    figures: Figures

    @property
    def weights(self) -> list[Path]:
        """Safetensors files: of the adapter, then of the backbone."""
        return [self.adapter / WEIGHTS_FILE, *([] if self.backbone is None else [self.backbone / BACKBONE_WEIGHTS])]


class TrainedFolder:
    """Where a run leaves what it trained. It appears under its final name once all of it is there."""

    def __init__(self, work: Path) -> None:
        self._final = work / _FOLDER
        self._incoming = work / f"{_FOLDER}.incoming"

    def read(self) -> Trained | None:
        """What was left here; None before."""
        if not self._final.is_dir():
            return None
        figures = Figures(**json.loads((self._final / _FIGURES).read_text()))
        backbone = self._final / _BACKBONE
        return Trained(self._final / _ADAPTER, backbone if backbone.is_dir() else None, figures)

    def begin(self) -> Path:
        """An empty folder for the adapter."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        adapter = self._incoming / _ADAPTER
        adapter.mkdir(parents=True)
        return adapter

    def keep_backbone(self, model: Any, tokenizer_file: Path) -> None:
        """model: a transformers model; what it saves beside BACKBONE_FILES is left out."""
        folder = self._incoming / _BACKBONE
        model.save_pretrained(folder, safe_serialization=True)
        shutil.copyfile(tokenizer_file, folder / TOKENIZER_FILE)
        _keep_only(folder, BACKBONE_FILES)

    def finish(self, spec: BaseSpec, labels: tuple[str, ...], figures: Figures) -> Trained:
        """Seal it: add the labels and the figures, and give it its name."""
        adapter = self._incoming / _ADAPTER
        _keep_only(adapter, (CONFIG_FILE, WEIGHTS_FILE))
        _order_config(adapter / CONFIG_FILE)
        tuned = self._incoming / _BACKBONE / BACKBONE_WEIGHTS
        weights = digest_file(tuned) if tuned.exists() else spec.weights_sha256
        (adapter / LABELS_FILE).write_text(AdapterLabels(labels, spec.pooling, weights).as_json())
        (self._incoming / _FIGURES).write_text(json.dumps(asdict(figures), indent=1))
        self._incoming.rename(self._final)
        trained = self.read()
        assert trained is not None  # noqa: S101  # it was renamed just now
        return trained


def save_head(folder: Path, config: Any, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    """An adapter that holds a head alone, as PEFT would save it. weight: [classes, hidden]; bias: [classes]."""
    config.save_pretrained(folder)
    prefix = "base_model.model.classifier."
    tensors = {f"{prefix}weight": np.ascontiguousarray(weight), f"{prefix}bias": np.ascontiguousarray(bias)}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _keep_only(folder: Path, names: tuple[str, ...]) -> None:
    for extra in folder.iterdir():
        if extra.name not in names:
            extra.unlink()


def _order_config(file: Path) -> None:
    """PEFT writes the target modules in the order of a set, which is another one in each process."""
    config = json.loads(file.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2, sort_keys=True))

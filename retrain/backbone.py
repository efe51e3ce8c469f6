"""What training and export must agree on about a backbone: pooling, limits, and the classifier built on it."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from engine.base import BaseSpec, Pooling
from retrain.losses import RowLoss, weighted_mean
from store.errors import Refused


def _cross_entropy(logits: Tensor, true: Tensor) -> Tensor:
    return cross_entropy(logits, true, reduction="none")


def pool(output: Any, attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """One vector a row, [batch, hidden], from a backbone's output."""
    if pooling == "pooler":
        return cast(Tensor, output.pooler_output)
    states = output.last_hidden_state
    if pooling == "cls":
        return cast(Tensor, states[:, 0])
    mask = attention_mask.unsqueeze(-1).to(states.dtype)
    return cast(Tensor, (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9))


def read_pooling(folder: Path, backbone: nn.Module) -> tuple[Pooling, Pooling]:
    """The pooling to serve with, and the one that the architecture's stock classifier uses.

    The first is what sentence-transformers' `1_Pooling` states, else the second. Raises Refused for another mode.
    """
    own: Pooling = "pooler" if getattr(backbone, "pooler", None) is not None else "cls"
    stated = folder / "1_Pooling" / "config.json"
    if not stated.exists():
        return own, own
    modes = [k for k, v in json.loads(stated.read_text()).items() if k.startswith("pooling_mode_") and v is True]
    known: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in known:
        raise Refused(f"{stated} asks for {', '.join(modes) or 'no pooling'}; mean or cls alone can be exported")
    return known[modes[0]], own


def text_limit(folder: Path, config: Any) -> int:
    """Tokens a text may have, special tokens included: the smallest limit that the source states."""
    limits: list[int] = [config.max_position_embeddings]
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        limits = [config.max_position_embeddings - config.pad_token_id - 1]  # positions start after the padding id
    for file, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        path = folder / file
        value = json.loads(path.read_text()).get(key) if path.exists() else None
        if isinstance(value, int) and 0 < value < 1_000_000:
            limits.append(value)
    return min(limits)


class PooledClassifier(PreTrainedModel):
    """A backbone, the base's pooling and one linear head: what is trained, as it is or wrapped by PEFT.

    The backbone sits under the architecture's own prefix and the head is called `classifier`, so adapters saved by
    PEFT carry the same tensor names as those of the stock SEQ_CLS models.
    """

    config_class = AutoConfig
    main_input_name = "input_ids"
    accepts_loss_kwargs = False  # the loss is the mean of the rows at hand, and Trainer averages over those of a step
    _supports_sdpa = True

    def __init__(
        self,
        backbone: PreTrainedModel,
        pooling: Pooling,
        labels: int,
        *,
        loss: RowLoss = _cross_entropy,
        dropout: float = 0.1,
    ) -> None:
        """loss: of training rows; validation rows are always judged by their plain likelihood."""
        config = backbone.config
        config.num_labels = labels
        super().__init__(config)
        self._prefix = backbone.base_model_prefix
        setattr(self, self._prefix, backbone)
        self.pooling: Pooling = pooling
        self.loss = loss
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, labels)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    @property
    def backbone(self) -> PreTrainedModel:
        return cast(PreTrainedModel, getattr(self, self._prefix))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        weights: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        pooled = pool(output, attention_mask, self.pooling)
        logits = self.classifier(self.dropout(pooled))
        loss = None
        if labels is not None:
            row_loss = self.loss if self.training else _cross_entropy
            loss = weighted_mean(row_loss(logits, labels), weights if self.training else None)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def load_backbone(folder: Path, *, random_weights: bool = False, attention: str = "sdpa") -> PreTrainedModel:
    """The backbone in `folder`, float32.

    random_weights: its architecture alone, drawn from torch's generator. attention: how it is computed, `sdpa` or
    `eager`; only the latter exports to a graph that the engine's rewriting knows.
    """
    options = {"dtype": torch.float32, "attn_implementation": attention}
    if random_weights:
        return cast(PreTrainedModel, AutoModel.from_config(AutoConfig.from_pretrained(folder), **options))
    return cast(PreTrainedModel, AutoModel.from_pretrained(folder, use_safetensors=True, **options))


def load_classifier(folder: Path, spec: BaseSpec, labels: int, *, loss: RowLoss = _cross_entropy) -> PooledClassifier:
    """A fresh head for `labels` classes on the backbone in `folder`, pooled as base `spec` is."""
    return PooledClassifier(load_backbone(folder), spec.pooling, labels, loss=loss)


def encoder_layers(backbone: nn.Module) -> list[nn.Module]:
    """The layers that are stacked one on the other, from the lowest. Raises Refused where there is no such stack."""
    stacks = [module for module in backbone.modules() if isinstance(module, nn.ModuleList)]
    if not stacks:
        raise Refused(f"{type(backbone).__name__} has no stack of layers; train it with strategy head, lora or full")
    largest = max(stacks, key=_numbers_in)
    return list(largest)


def _numbers_in(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())

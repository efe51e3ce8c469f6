"""What a training needs of memory and disk at least, and which settings need less: plain arithmetic.

The figures are floors, so what is refused by them could not have been trained. What they let pass may still run out;
`retrain.shortage` turns that into a sentence, too. docs/decisions/0022 has what was measured beside the estimates.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.base import BaseSpec

FLOAT_BYTES = 4
_ADAM_MOMENTS = 2
KEPT_CHECKPOINTS = 3
"""Two that stay, the best and the newest, and the one that is being written."""
DISK_MARGIN_BYTES = 64 * 2**20
"""For the database, the logs and the small files of a run."""
_LIGHTER = {"scratch": ("lora", "head"), "full": ("lora", "head"), "partial": ("lora", "head"), "lora": ("head",)}
"""What trains less than a strategy does, the larger first."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """The shape of a transformer encoder."""

    parameters: int
    hidden: int
    layers: int
    intermediate: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What decides how much a training needs."""

    strategy: str
    batch_rows: int
    trained: Mapping[str, int]
    """Numbers that get a gradient, by strategy."""
    longest_tokens: int
    """Of the longest text: a batch is padded to it."""


def read_backbone(config: Mapping[str, Any], *, parameters: int) -> Backbone:
    """From a Hugging Face `config.json`, whose names differ. Raises KeyError for an architecture of another kind."""

    def first(*names: str) -> int:
        for name in names:
            if config.get(name) is not None:
                return int(config[name])
        raise KeyError(names[0])

    hidden = first("hidden_size", "dim", "d_model")
    return Backbone(
        parameters=parameters,
        hidden=hidden,
        layers=first("num_hidden_layers", "n_layers", "num_layers"),
        intermediate=first("intermediate_size", "hidden_dim", "d_ff"),
    )


def trained_numbers(spec: BaseSpec, *, rank: int, labels: int) -> dict[str, int]:
    """Numbers that get a gradient, by strategy. `partial` is counted as the head alone: a floor for any depth."""
    head = (spec.hidden + 1) * labels
    lora = head + sum((layer.d_in + layer.d_out) * rank for layer in spec.layers)
    whole = head + spec.parameters
    return {"head": head, "lora": lora, "partial": head, "full": whole, "scratch": whole}


def memory_needed(backbone: Backbone, demand: Demand) -> int:
    """Bytes that a training takes beyond what its process has already, at least.

    Weights, gradients and Adam's two moments in float32, and what the backward pass keeps of one batch of the longest
    texts: Korthikanti et al. 2022 (arXiv:2205.05198), section 4.1, less what PyTorch does not keep: attention scores
    (its kernel is fused) and the inputs of frozen linear layers. `partial` is counted as one layer deep.
    """
    trained = demand.trained[demand.strategy] * FLOAT_BYTES * (1 + _ADAM_MOMENTS)
    if demand.strategy == "head":  # on features that were computed before
        return trained
    layers = 1 if demand.strategy == "partial" else backbone.layers
    kept_a_token = layers * (8 * backbone.hidden + 2 * backbone.intermediate) * FLOAT_BYTES
    weights = backbone.parameters * FLOAT_BYTES
    return weights + trained + demand.batch_rows * demand.longest_tokens * kept_a_token


def disk_needed(demand: Demand) -> int:
    """Bytes of checkpoints, each with Adam's moments, of the finished weights and of their stored copy."""
    weights = demand.trained[demand.strategy] * FLOAT_BYTES
    return KEPT_CHECKPOINTS * weights * (1 + _ADAM_MOMENTS) + 2 * weights + DISK_MARGIN_BYTES


def settings_that_fit(backbone: Backbone, demand: Demand, available: int) -> list[tuple[Demand, int]]:
    """With what each needs: of the strategy that was asked for and of each lighter one, the largest batch that fits."""
    found = []
    for strategy in (demand.strategy, *_LIGHTER.get(demand.strategy, ())):
        smaller = (replace(demand, strategy=strategy, batch_rows=rows) for rows in _halved(demand.batch_rows))
        needs = ((one, memory_needed(backbone, one)) for one in smaller)
        found += [next((pair for pair in needs if pair[1] <= available), None)]
    return [pair for pair in found if pair is not None]


def _halved(rows: int) -> Iterator[int]:
    while rows:
        yield rows
        rows //= 2


def told_fits(fits: list[tuple[Demand, int]], asked: Demand) -> str:
    """The settings in words: what to change and what is needed then."""
    if not fits:
        return "nothing that can be trained here needs less; use a smaller base or a machine with more memory"
    told = []
    for fit, needed in fits:
        changes = [f"strategy {fit.strategy}"] if fit.strategy != asked.strategy else []
        changes += [f"batch_rows {fit.batch_rows}"] if fit.batch_rows != asked.batch_rows else []
        told.append(f"{' and '.join(changes)} ({in_gb(needed)})")
    return f"with less would fit: {'; '.join(told)}"


def in_gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"

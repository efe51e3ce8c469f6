"""What a training needs of memory and disk at least, and which settings need less: plain arithmetic.

The figures are floors, so what is refused by them could not have been trained. What they let pass may still run out;
`retrain.shortage` turns that into a sentence, too. Settings are only recommended with room to spare.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.base import BaseSpec

FLOAT_BYTES = 4
_ADAM_MOMENTS = 2
PEAK_RATIO = 2.0
"""Peaks measured on MiniLM were 1.3 to 1.9 times the floor (docs/decisions/0022): a recommendation leaves this room."""
KEPT_CHECKPOINTS = 3
"""Two that stay, the best and the newest, and the one that is being written."""
DISK_MARGIN_BYTES = 64 * 2**20
"""For the database, the logs and the small files of a run."""
_LIGHTER = {"scratch": ("lora", "head"), "full": ("lora", "head"), "partial": ("head",), "lora": ("head",)}
"""What trains less than a strategy does, the larger first."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """The shape of a transformer encoder."""

    parameters: int
    hidden: int
    layers: int
    heads: int
    intermediate: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What decides how much a training needs."""

    strategy: str
    rows_at_once: int
    trained: Mapping[str, int]
    """Numbers that get a gradient, by strategy."""
    longest_tokens: int
    """Of the longest text: rows beside it are padded to it."""


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
        heads=first("num_attention_heads", "n_heads", "num_heads"),
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
    texts: Korthikanti et al. 2022 (arXiv:2205.05198), section 4.1, at four bytes a number and one a dropout mask.
    `partial` is counted as one layer deep.
    """
    trained = demand.trained[demand.strategy] * FLOAT_BYTES * (1 + _ADAM_MOMENTS)
    if demand.strategy == "head":  # on features that were computed before
        return trained
    layers = 1 if demand.strategy == "partial" else backbone.layers
    kept_a_token = 34 * backbone.hidden + 8 * backbone.intermediate + 9 * backbone.heads * demand.longest_tokens
    weights = backbone.parameters * FLOAT_BYTES
    return weights + trained + demand.rows_at_once * demand.longest_tokens * layers * kept_a_token


def disk_needed(demand: Demand) -> int:
    """Bytes of checkpoints, each with Adam's moments, of the finished weights and of their stored copy."""
    weights = demand.trained[demand.strategy] * FLOAT_BYTES
    return KEPT_CHECKPOINTS * weights * (1 + _ADAM_MOMENTS) + 2 * weights + DISK_MARGIN_BYTES


def settings_that_fit(backbone: Backbone, demand: Demand, available: int) -> list[Demand]:
    """Of the strategy that was asked for and of each lighter one: the most rows at once that fit and divide a batch."""
    strategies = (demand.strategy, *_LIGHTER.get(demand.strategy, ()))
    smaller = (
        (replace(demand, strategy=name, rows_at_once=rows) for rows in _parts(demand.rows_at_once))
        for name in strategies
    )
    fits = (next((one for one in same if expected_peak(backbone, one) <= available), None) for same in smaller)
    return [one for one in fits if one is not None]


def expected_peak(backbone: Backbone, demand: Demand) -> float:
    """Bytes that such a training took where it was measured, at most."""
    return PEAK_RATIO * memory_needed(backbone, demand)


def told_fits(backbone: Backbone, fits: Sequence[Demand], asked: Demand) -> str:
    """The settings in words: what to change, and what a training then takes."""
    if not fits:
        return "no setting needs little enough; take a smaller base or a machine with more memory"
    told = []
    for fit in fits:
        changes = [f"strategy {fit.strategy}"] if fit.strategy != asked.strategy else []
        changes += [f"rows_at_once {fit.rows_at_once}"] if fit.rows_at_once != asked.rows_at_once else []
        told.append(f"{' with '.join(changes)} (about {told_bytes(expected_peak(backbone, fit))})")
    return f"these would fit: {', '.join(told)}"


def _parts(rows: int) -> Iterator[int]:
    """What divides `rows`, the largest first."""
    return (part for part in range(rows, 0, -1) if rows % part == 0)


def told_bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, count / 1e6):.0f} MB"

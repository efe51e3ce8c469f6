"""What a training will take: seconds and bytes by strategy, from shapes and from constants that were measured.

Operations are counted as usual for transformers (Kaplan et al. 2020, arXiv:2001.08361, section 2.1): 2 for each number
of the layers and each token forward, 2 more for each layer that gradients must pass, 2 more for each number that is
trained. What attention adds to that is left out; below the length of the hidden size it is the smaller part. So an
estimate says whether it is minutes or hours. It is no measurement: on MiniLM and CLINC150 it was off by 15 % at most.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

from retrain.recipe import (
    ACTIVATION_BYTES,
    BATCH_ROWS,
    BATCH_ROWS_FEW,
    COSTS,
    FEW_ROWS,
    LORA_RANK,
    MOST_CORES,
    PARTIAL_SHARE,
    PEAK_TOKENS,
    START_S,
    TRAIN_SHARE,
    VALIDATION_SHARE,
    Strategy,
)
from store.errors import BadInput

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Backbone:
    """What of a base decides about cost. Counts are of single numbers (parameters)."""

    name: str
    parameters: int
    embeddings: int
    """Parameters in look-up tables: they take memory, but no operations."""
    layers: int
    hidden: int
    max_tokens: int
    lora_width: int
    """Inputs and outputs of all layers that LoRA may change, added up; 0 where there is none."""
    lora_targets: tuple[str, ...] = ()
    """Last names of those layers."""
    positions: int | None = None
    """Tokens of every row, where the length is not the row's own, as with images."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is to train with. Raises BadInput for figures that cannot be."""

    task: str
    rows: int
    """All labelled rows; the split takes out those that measure."""
    classes: int
    """Outputs of the head; 1 for a regression."""
    similarity: float
    """How near the data is to what the base knows, 0 to 1: of what the constant answer gets wrong, the share that a
    linear head on frozen features gets right on held-out rows."""
    backbone: Backbone
    tokens: float
    """Mean a row."""
    device: Device = "cpu"
    cores: int = 1
    time_s: float | None = None
    memory_bytes: float | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "classes", "tokens", "cores", "time_s", "memory_bytes"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= _MOST:
                raise BadInput(f"{name} is {value}; it must be more than 0 and at most {_MOST:,}", where=name)
        if not 0 <= self.similarity <= 1:
            raise BadInput(f"similarity is {self.similarity}; it must be from 0 to 1", where="similarity")

    @property
    def training_rows(self) -> int:
        return max(1, floor(self.rows * TRAIN_SHARE + 0.5))

    @property
    def validation_rows(self) -> int:
        return floor(self.rows * VALIDATION_SHARE + 0.5)

    @property
    def row_tokens(self) -> float:
        fixed = self.backbone.positions
        return min(self.tokens, float(self.backbone.max_tokens)) if fixed is None else float(fixed)


_MOST = 10**12
"""Up to here floating point numbers count without a gap, in the browser too."""


@dataclass(frozen=True, slots=True)
class Cost:
    seconds: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Option:
    """A strategy as it would be trained here, chosen or not."""

    strategy: Strategy
    epochs: int
    rows_at_once: int
    seconds: float
    bytes: float
    fits: bool


def batch_rows(situation: Situation) -> int:
    return BATCH_ROWS_FEW if situation.training_rows < FEW_ROWS else BATCH_ROWS


def steps_an_epoch(situation: Situation) -> int:
    return ceil(situation.training_rows / batch_rows(situation))


def trained_layers(backbone: Backbone, strategy: Strategy) -> int:
    """Layers from the top whose own weights change; LoRA changes none, it puts matrices beside them."""
    match strategy:
        case "partial":
            return max(1, backbone.layers // PARTIAL_SHARE)
        case "full":
            return backbone.layers
        case _:
            return 0


def trained_numbers(backbone: Backbone, strategy: Strategy, classes: int) -> int:
    """Parameters that the optimizer keeps, those of the head included."""
    head = (backbone.hidden + 1) * classes
    match strategy:
        case "lora":
            return head + LORA_RANK * backbone.lora_width
        case "partial":
            body = backbone.parameters - backbone.embeddings
            return head + body * trained_layers(backbone, strategy) // backbone.layers
        case "full":
            return head + backbone.parameters
        case _:
            return head


def estimate(situation: Situation, strategy: Strategy, *, epochs: int, rows_at_once: int) -> Cost:
    """What `epochs` take; rows_at_once: of a batch, how many are in memory together (the rest is accumulated)."""
    backbone, costs = situation.backbone, COSTS[situation.device]
    cores = 1.0 if situation.device == "cuda" else float(min(situation.cores, MOST_CORES))
    numbers = float(trained_numbers(backbone, strategy, situation.classes))
    forward = 2.0 * (backbone.parameters - backbone.embeddings) * situation.row_tokens
    steps = float(epochs * steps_an_epoch(situation))
    updates = steps * (costs.step_s + costs.update_s * numbers) / cores
    weights = costs.process_bytes + 4.0 * backbone.parameters + 12.0 * numbers
    taught, watched = float(situation.training_rows), float(situation.validation_rows)
    if strategy == "head":
        features = (taught + watched) * forward / (costs.embed_flops_a_core * cores)
        fitting = epochs * (3.0 * taught + watched) * 2.0 * numbers / (costs.train_flops_a_core * cores)
        kept = 4.0 * (taught + watched) * backbone.hidden
        return Cost(START_S + features + fitting + updates, weights + kept)
    reached = backbone.layers if strategy == "lora" else trained_layers(backbone, strategy)
    backward = forward * reached / backbone.layers * (1.0 if strategy == "lora" else 2.0)
    operations = epochs * (taught * (forward + backward) + watched * forward)
    longest = min(float(backbone.max_tokens), PEAK_TOKENS * situation.row_tokens)
    if backbone.positions is not None:
        longest = situation.row_tokens
    kept = ACTIVATION_BYTES * rows_at_once * longest * reached * backbone.hidden
    return Cost(START_S + operations / (costs.train_flops_a_core * cores) + updates, weights + kept)

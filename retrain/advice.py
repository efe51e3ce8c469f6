"""Which strategy an expert would take, and why: situation in, advice out, nothing trained and nothing looked up.

First it is decided what the data deserves, by rows and similarity alone; then what of that time and memory allow. What
is not affordable is given up in the order of `LADDER`, towards freezing more, after fewer epochs and fewer rows at once
were tried. So more rows never freeze more as long as no budget binds, and a tighter budget never chooses the dearer.

The same decision is made in the browser by server/console/static/advice.js; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor

from retrain import advice_words
from retrain.cost import (
    Cost,
    Option,
    Situation,
    batch_rows,
    estimate,
    steps_an_epoch,
    trained_layers,
    trained_numbers,
)
from retrain.recipe import (
    LADDER,
    LORA_RANK,
    SCHEDULE,
    WARMUP_RATIO,
    Strategy,
    epochs_of,
    rates_at,
)

WORTH_TRAINING = 0.01
"""Gain in accuracy below which the backbone stays frozen."""
MOST_OF_ROOM = 0.3
"""Share of what frozen features leave to gain that training brings with very many rows (decision 0020)."""
HALF_ROWS = 120
"""Training rows at which half of that is reached."""
FULL_ROWS = 20_000
"""Training rows, times the room that similarity leaves, from which every weight is trained rather than LoRA."""
FULL_ROWS_WITHOUT_LORA = 1_000
"""The same against `partial`, on a base without layers for LoRA."""


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share a learning rate."""

    name: str
    holds: str
    learning_rate: float
    """Peak; 0 is frozen."""


@dataclass(frozen=True, slots=True)
class Advice:
    strategy: Strategy
    fits: bool
    """False: no strategy fits the budget; this is the cheapest."""
    gain: float
    """What training the backbone is expected to add to the accuracy of a head on frozen features, 0 to 0.5."""
    frozen_layers: tuple[int, ...]
    """Whose own weights stay as they are, counted from 0 at the input. LoRA's matrices lie beside frozen weights."""
    embeddings_frozen: bool
    groups: tuple[Group, ...]
    """Lower, middle and head, in this order."""
    rank: int
    """Of LoRA's matrices; 0 with any other strategy."""
    alpha: int
    targets: tuple[str, ...]
    epochs: int
    batch_rows: int
    rows_at_once: int
    """Fewer than `batch_rows` where memory is short: gradients are added up until a batch is full."""
    total_steps: int
    warmup_steps: int
    schedule: str
    trained: int
    """Parameters that change."""
    seconds: float
    bytes: float
    options: tuple[Option, ...]
    """In the order of the ladder; those that the base offers."""
    why: tuple[str, str, str]
    rejected: Mapping[str, str]
    """One clause for each strategy that is not advised."""
    notes: tuple[str, ...]


def advise(situation: Situation) -> Advice:
    """The strategy, how to train it, and what it will take."""
    gain = expected_gain(situation)
    offered = _offered(situation)
    wanted = _wanted(situation, gain)
    options = tuple(_option(situation, strategy) for strategy in offered)
    affordable = [one for one in options[: offered.index(wanted) + 1] if one.fits]
    chosen = affordable[-1] if affordable else options[0]
    return _spelled_out(situation, gain, wanted, chosen, options)


def expected_gain(situation: Situation) -> float:
    """Accuracy beyond a head on frozen features: the room above it, of which more rows open more. A rule of thumb."""
    rows = float(situation.training_rows)
    return (1.0 - situation.similarity) * MOST_OF_ROOM * rows / (rows + HALF_ROWS)


def rows_for_full(situation: Situation) -> int:
    """Training rows from which `full` is wanted, in hundreds; 0 where it never is, because nothing is left to gain."""
    room = 1.0 - situation.similarity
    least = FULL_ROWS if situation.backbone.lora_width else FULL_ROWS_WITHOUT_LORA
    return 100 * floor(least / room / 100 + 0.5) if room > 0 else 0


def _offered(situation: Situation) -> tuple[Strategy, ...]:
    return tuple(one for one in LADDER if one != "lora" or situation.backbone.lora_width)


def _wanted(situation: Situation, gain: float) -> Strategy:
    """What the data deserves, whatever it costs."""
    if gain < WORTH_TRAINING:
        return "head"
    if 0 < rows_for_full(situation) <= situation.training_rows:
        return "full"
    return "lora" if situation.backbone.lora_width else "partial"


def _option(situation: Situation, strategy: Strategy) -> Option:
    """As many epochs and as many rows at once as the budget allows, down to a third of the epochs and to one row."""
    at_once = batch_rows(situation)
    while at_once > 1 and not _holds(situation, estimate(situation, strategy, epochs=1, rows_at_once=at_once)):
        at_once //= 2
    epochs = epochs_of(strategy, steps_an_epoch(situation))
    least = ceil(epochs / 3)
    cost = estimate(situation, strategy, epochs=epochs, rows_at_once=at_once)
    while epochs > least and not _in_time(situation, cost):
        epochs -= 1
        cost = estimate(situation, strategy, epochs=epochs, rows_at_once=at_once)
    fits = _holds(situation, cost) and _in_time(situation, cost)
    return Option(strategy, epochs, at_once, cost.seconds, cost.bytes, fits)


def _holds(situation: Situation, cost: Cost) -> bool:
    return situation.memory_bytes is None or cost.bytes <= situation.memory_bytes


def _in_time(situation: Situation, cost: Cost) -> bool:
    return situation.time_s is None or cost.seconds <= situation.time_s


def _spelled_out(
    situation: Situation, gain: float, wanted: Strategy, chosen: Option, options: tuple[Option, ...]
) -> Advice:
    backbone, strategy = situation.backbone, chosen.strategy
    total = chosen.epochs * steps_an_epoch(situation)
    lora = strategy == "lora"
    case = advice_words.Case(
        situation=situation,
        gain=gain,
        worth=WORTH_TRAINING,
        wanted=wanted,
        chosen=chosen,
        options={one.strategy: one for one in options},
        usual_epochs=epochs_of(strategy, steps_an_epoch(situation)),
        rows_for_full=rows_for_full(situation),
        total_steps=total,
    )
    return Advice(
        strategy=strategy,
        fits=chosen.fits,
        gain=gain,
        frozen_layers=tuple(range(backbone.layers - trained_layers(backbone, strategy))),
        embeddings_frozen=strategy != "full",
        groups=_groups(situation, strategy),
        rank=LORA_RANK if lora else 0,
        alpha=2 * LORA_RANK if lora else 0,
        targets=backbone.lora_targets if lora else (),
        epochs=chosen.epochs,
        batch_rows=batch_rows(situation),
        rows_at_once=chosen.rows_at_once,
        total_steps=total,
        warmup_steps=max(1, int(total * WARMUP_RATIO)),
        schedule=SCHEDULE,
        trained=trained_numbers(backbone, strategy, situation.classes),
        seconds=chosen.seconds,
        bytes=chosen.bytes,
        options=options,
        why=advice_words.why(case),
        rejected=advice_words.rejected(case),
        notes=advice_words.notes(case),
    )


def _groups(situation: Situation, strategy: Strategy) -> tuple[Group, ...]:
    backbone, rates = situation.backbone, rates_at(strategy, situation.backbone.hidden)
    split = backbone.layers - (trained_layers(backbone, "partial") if strategy == "partial" else backbone.layers // 2)
    lower = "embeddings" if split == 0 else f"embeddings and {advice_words.layers(0, split)}"
    return (
        Group("lower", lower, rates.lower),
        Group("middle", advice_words.layers(split, backbone.layers), rates.middle),
        Group("head", "the new head", rates.head),
    )

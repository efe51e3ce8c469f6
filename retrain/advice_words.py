"""The advice in plain English: three sentences with the figures that decided, and a clause for what was not chosen.

Numbers are rounded by adding a half and cutting off, which Python and JavaScript do alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

from retrain.cost import Option, Situation, batch_rows, trained_layers, trained_numbers
from retrain.recipe import LORA_RANK, Strategy

NAMES: Mapping[Strategy, str] = {
    "head": "a head alone",
    "partial": "training the top layers",
    "lora": "LoRA",
    "full": "full fine-tuning",
}
FEW_A_CLASS = 5
"""Training rows a class below which labels are worth more than any strategy."""


TRAINED_HERE = "text-classification"
"""The task that driftgate itself can train."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that the words speak of."""

    situation: Situation
    gain: float
    worth: float
    wanted: Strategy
    chosen: Option
    options: Mapping[Strategy, Option]
    usual_epochs: int
    rows_for_full: int
    total_steps: int


def why(case: Case) -> tuple[str, str, str]:
    return _what_data_says(case), _what_is_trained(case), _what_it_takes(case)


def _what_data_says(case: Case) -> str:
    situation = case.situation
    rows, taught = situation.rows, situation.training_rows
    each = f", {count(taught // situation.classes)} for each of {count(situation.classes)} classes"
    return (
        f"Of {count(rows)} labelled {_plural(rows, 'row')}, {count(taught)} can be trained on"
        f"{each if situation.classes > 1 else ''}, and at a similarity of {hundredths(situation.similarity)} training "
        f"the backbone may add some {points(case.gain)} points to a head on frozen features."
    )


def _what_is_trained(case: Case) -> str:
    situation, backbone, strategy = case.situation, case.situation.backbone, case.chosen.strategy
    trained = trained_numbers(backbone, strategy, situation.classes)
    share = percent(trained / backbone.parameters)
    if strategy != case.wanted:
        wanted = case.options[case.wanted]
        return (
            f"{_capital(NAMES[case.wanted])} would be the choice but needs {_price(wanted)}, "
            f"so what remains is {NAMES[strategy]}, which trains {count(trained)} parameters, {share} of the base."
        )
    match strategy:
        case "head":
            return (
                f"That is less than the {points(case.worth)} point from which training it pays, so the base stays "
                f"frozen and only a head of {count(trained)} parameters is trained."
            )
        case "partial":
            top = trained_layers(backbone, strategy)
            return (
                f"The base has no layers for LoRA, so the top {count(top)} of {count(backbone.layers)} layers are "
                f"trained, {share} of its parameters."
            )
        case "lora":
            full = f", {count(case.rows_for_full)} at this similarity" if case.rows_for_full else ""
            return (
                f"LoRA of rank {LORA_RANK} trains {count(trained)} parameters, {share} of the base, and does as well "
                f"as training all of them until there are very many rows{full}."
            )
        case _:
            return (
                f"From {count(case.rows_for_full)} training rows on, at this similarity, changing every weight pays, "
                f"so all {count(trained)} parameters are trained."
            )


def _what_it_takes(case: Case) -> str:
    situation, chosen = case.situation, case.chosen
    if not chosen.fits:
        return (
            f"Nothing fits into {_budget(situation)}: even {NAMES[chosen.strategy]} takes {duration(chosen.seconds)} "
            f"and {size(chosen.bytes)}, so allow that much, or take a smaller base or fewer rows."
        )
    cut = f" instead of {count(case.usual_epochs)}" if chosen.epochs < case.usual_epochs else ""
    limits = _budget(situation)
    within = f", within {limits}" if limits else "; no limit was set"
    where = "a GPU" if situation.device == "cuda" else f"{count(situation.cores)} {_plural(situation.cores, 'core')}"
    return (
        f"{count(chosen.epochs)} {_plural(chosen.epochs, 'epoch')}{cut}, {count(case.total_steps)} steps in all, take "
        f"about {duration(chosen.seconds)} and {size(chosen.bytes)} on {where}{within}."
    )


def rejected(case: Case) -> dict[str, str]:
    """In the order of the ladder, then `lora` where the base has no room for it, then `scratch`."""
    found: dict[str, str] = {
        name: _why_not(case, option) for name, option in case.options.items() if name != case.chosen.strategy
    }
    if "lora" not in case.options:
        found["lora"] = "the base has no linear layers that LoRA could change"
    found["scratch"] = (
        f"it would forget all that the base learned, and {count(case.situation.training_rows)} training rows cannot "
        "replace that; it is a baseline, never advice"
    )
    return found


def _why_not(case: Case, option: Option) -> str:
    strategy, chosen = option.strategy, case.chosen
    order = list(case.options)
    if order.index(strategy) > order.index(case.wanted):
        return _too_much(case, option)
    if not option.fits:
        return f"it needs {_price(option)}, more than {_budget(case.situation)}"
    if strategy == "head":
        return f"it would leave the {points(case.gain)} points that training the backbone may add"
    better = "did better where both were tried" if chosen.strategy == "lora" else "may reach more with so many rows"
    return f"{NAMES[chosen.strategy]} fits too, and {better}"


def _too_much(case: Case, option: Option) -> str:
    """Of a strategy that frees more than the data deserves."""
    if option.strategy == "full" and case.wanted != "head":
        needed = f"it pays from {count(case.rows_for_full)} training rows on at this similarity"
        return f"{needed}, and takes {duration(option.seconds)}" if case.rows_for_full else "there is nothing to gain"
    return f"it may add {points(case.gain)} points at most, for {duration(option.seconds)}"


def notes(case: Case) -> tuple[str, ...]:
    """What is true beside the advice, and limits it."""
    situation = case.situation
    found = []
    if situation.classes > 1 and situation.training_rows < FEW_A_CLASS * situation.classes:
        found.append(f"Fewer than {FEW_A_CLASS} training rows a class: more labels are worth more than any strategy.")
    if case.chosen.rows_at_once < batch_rows(situation):
        at_once = count(case.chosen.rows_at_once)
        found.append(
            f"Memory holds {at_once} of the {batch_rows(situation)} rows of a batch at once: add up their gradients."
        )
    if situation.device == "cuda":
        found.append("What a GPU does was assumed, not measured: take time and memory as an order of magnitude.")
    if situation.task != TRAINED_HERE:
        found.append("driftgate itself trains text classification; take this to where you train.")
    return tuple(found)


def _price(option: Option) -> str:
    return f"{duration(option.seconds)} and {size(option.bytes)}"


def _budget(situation: Situation) -> str:
    """The limits that were set; empty without any."""
    limits = []
    if situation.time_s is not None:
        limits.append(duration(situation.time_s))
    if situation.memory_bytes is not None:
        limits.append(size(situation.memory_bytes))
    return " and ".join(limits)


def layers(first: int, end: int) -> str:
    return f"layer {first}" if end - first == 1 else f"layers {first} to {end - 1}"


def count(number: int) -> str:
    return f"{number:,}"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{rounded(seconds)} s"
    if seconds < 5_400:
        return f"{rounded(seconds / 60)} min"
    return f"{tenths(seconds / 3_600)} h" if seconds < 172_800 else f"{count(rounded(seconds / 86_400))} days"


def size(amount: float) -> str:
    return f"{rounded(amount / 2**20)} MiB" if amount < 2**30 else f"{tenths(amount / 2**30)} GiB"


def percent(share: float) -> str:
    return f"{hundredths(share * 100)} %" if share < 0.01 else f"{tenths(share * 100)} %"


def points(share: float) -> str:
    return tenths(share * 100)


def rounded(value: float) -> int:
    return floor(value + 0.5)


def tenths(value: float) -> str:
    whole, rest = divmod(rounded(value * 10), 10)
    return f"{count(whole)}.{rest}" if rest else count(whole)


def hundredths(value: float) -> str:
    whole, rest = divmod(rounded(value * 100), 100)
    return f"{count(whole)}.{rest:02}"


def _plural(number: int, word: str) -> str:
    return word if number == 1 else f"{word}s"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

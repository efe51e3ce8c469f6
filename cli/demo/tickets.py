"""Made-up support tickets, so that the demo needs no data set and can change the world under a running model.

Before: the letters of an electronics shop. After: the shop also sells robots, whose owners bring old matters in
new words and two matters that nobody had before. What makes a ticket hard is what makes real ones hard (labels
that share their words, matters mentioned in passing, two requests in one letter, typos) and never a false label.
"""

import re
from bisect import bisect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from random import Random
from typing import Final

from cli.demo import phrases

MIN_WORDS: Final = 3
MAX_WORDS: Final = 120


class World(StrEnum):
    """BEFORE the robots came, or AFTER."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One message in the customer's voice, 3 to 120 words, and the matter it is mainly about."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Shares:
    """What the traffic of the world after is made of, each 0..1; the rest is old matters in old words.

    new_words: old matters in the robots' jargon. new_matters: the two new labels together, half each.
    """

    new_words: float = 0.35
    new_matters: float = 0.30

    def __post_init__(self) -> None:
        if min(self.new_words, self.new_matters) < 0 or self.new_words + self.new_matters > 1:
            raise ValueError(f"shares are 0 or more and sum to at most 1, not {self}; lower one of them")


USUAL_SHARES: Final = Shares()
LABELS: Final[tuple[str, ...]] = tuple(sorted(phrases.MATTERS))
NEW_LABELS: Final[tuple[str, str]] = ("robot_pairing", "robot_safety")


def tickets(
    world: World,
    count: int,
    *,
    seed: int,
    exclude: Collection[str] = (),
    shares: Shares = USUAL_SHARES,
) -> list[Ticket]:
    """Make `count` messages, no two alike and none whose text is in `exclude`; `shares` counts AFTER only.

    The same arguments give the same list on every machine: all chance comes from `Random.random`, whose sequence
    Python promises to keep. Raises ValueError for a negative count.
    """
    if count < 0:
        raise ValueError(f"cannot make {count} tickets; ask for 0 or more")
    rng = Random(f"{world.value}:{seed}")
    seen = set(exclude)
    made: list[Ticket] = []
    while len(made) < count:
        label, cores = _draw_matter(rng, world, shares)
        text = _write(rng, label, cores)
        while text in seen or not MIN_WORDS <= len(text.split()) <= MAX_WORDS:
            text = _write(rng, label, cores)  # the label stays: short-spoken matters must not thin out
        seen.add(text)
        made.append(Ticket(text, label))
    return made


def _lines(block: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in block.splitlines() if line.strip())


def _pools(blocks: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {label: _lines(block) for label, block in blocks.items()}


_MATTERS = _pools(phrases.MATTERS)
_ASIDES = _pools(phrases.ASIDES)
_NEW_WORDS = _pools(phrases.NEW_WORDS)
_NEW_MATTERS = _pools(phrases.NEW_MATTERS)
_PAIRINGS = _lines(phrases.PAIRINGS)
_GREETINGS = _lines(phrases.GREETINGS)
_SIGN_OFFS = _lines(phrases.SIGN_OFFS)
_MOODS = _lines(phrases.MOODS)
_CHATTER = _lines(phrases.CHATTER)

_SAME_THING: Final = {
    word: tuple(other for other in line.split("|") if other != word)
    for line in _lines(phrases.SAME_THING)
    for word in line.split("|")
}
_SWAPPABLE = re.compile(rf"(?<!\{{)\b({'|'.join(sorted(_SAME_THING, key=lambda word: (-len(word), word)))})\b(?!')")

# How often a matter comes up where it is not an ordinary one (1.0).
_UNEVEN: Final = {"late_delivery": 1.3, "refund": 1.25, "login_trouble": 1.1, "account_deletion": 0.75}
_REACH: Final = tuple(accumulate(_UNEVEN.get(label, 1.0) for label in LABELS))

# Shares of messages, 0..1: with a second request, and with another matter mentioned in passing.
_TWO_MATTERS: Final = 0.13
_ASIDE: Final = 0.24
# Chance that a word gives way to one for the same thing.
_OTHER_WORD: Final = 0.5
# Writers: (share up to here, chance of each optional sentence). Most are brief, a few tell their day.
_WRITERS: Final = ((0.50, 0.04), (0.90, 0.20), (1.0, 0.58))
# Thumbs: (share up to here, chance of a slip in each longer word).
_THUMBS: Final = ((0.50, 0.0), (0.85, 0.05), (1.0, 0.15))

_SWITCH = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(?!main|other)(\w+)\}")
_SENTENCE_START = re.compile(r"(?:^|[.!?] )[a-z]")
_QUESTION = re.compile(
    r"(?:how|what(?! a| I)|where|when|why|WHY|who|which|can|could|does|did|do (?:I|you|treadlets)"
    r"|is|are|am I|has|have you|will|would (?!be|you please)|should one|any)\b"
)
_A = re.compile(r"\ban(?= (?!hour|x)[^aeiou\W]| user| euro)")
_AN = re.compile(r"\ba(?= (?!one|euro)[aeio]| u[np])")
_KEY_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEXT_KEY: Final = {key: row[i - 1] for row in _KEY_ROWS for i, key in enumerate(row)}


def _pick(rng: Random, options: Sequence[str]) -> str:
    return options[int(rng.random() * len(options))]


def _level(rng: Random, table: Sequence[tuple[float, float]]) -> float:
    kind = rng.random()
    return next(value for up_to, value in table if kind < up_to)


def _draw_matter(rng: Random, world: World, shares: Shares) -> tuple[str, tuple[str, ...]]:
    """A label and the phrases that say it in this world."""
    kind = rng.random() if world is World.AFTER else 1.0
    if kind < shares.new_matters:
        label = _pick(rng, NEW_LABELS)
        return label, _NEW_MATTERS[label]
    label = LABELS[bisect(_REACH, rng.random() * _REACH[-1])]
    in_new_words = kind < shares.new_matters + shares.new_words
    return label, _NEW_WORDS[label] if in_new_words else _MATTERS[label]


def _other_label(rng: Random, label: str) -> str:
    return _pick(rng, [other for other in LABELS if other != label])


def _write(rng: Random, label: str, cores: Sequence[str]) -> str:
    """One message: first what a careful writer would send, then what the thumbs make of it."""
    chattiness = _level(rng, _WRITERS)

    def maybe(options: Sequence[str], likelihood: float) -> list[str]:
        return [_sentence(_say(rng, _pick(rng, options)))] if rng.random() < likelihood else []

    opening = maybe(_CHATTER, chattiness) + maybe(_CHATTER, chattiness / 2)
    aside = maybe(_ASIDES[_other_label(rng, label)], _ASIDE)
    matter = _matter(rng, label, cores)
    closing = [s for options in (_CHATTER, _MOODS, _MOODS) for s in maybe(options, chattiness * 0.8)]
    body = [*opening, *aside, matter, *closing] if rng.random() < 0.5 else [*opening, matter, *aside, *closing]
    text = " ".join(body)
    if rng.random() < chattiness * 1.5:
        text = f"{_say(rng, _pick(rng, _GREETINGS))}, {text}"
    text = _SENTENCE_START.sub(lambda start: start[0].upper(), text)
    if rng.random() < chattiness * 1.5:
        text = f"{text} {_say(rng, _pick(rng, _SIGN_OFFS)).strip()}"
    return _restyle(rng, _mistype(rng, text))


def _matter(rng: Random, label: str, cores: Sequence[str]) -> str:
    """The label's own request, for some writers next to one that they rank below it."""
    main = _say(rng, _pick(rng, cores))
    if rng.random() >= _TWO_MATTERS:
        return _sentence(main)
    other = _say(rng, _pick(rng, _MATTERS[_other_label(rng, label)]))
    pairing = _say(rng, _pick(rng, _PAIRINGS))
    for place, words in (("{main}", main), ("{other}", other)):
        pairing = pairing.replace(f"{place}.", _sentence(words)).replace(place, words)
    return pairing


def _say(rng: Random, phrase: str) -> str:
    """Settle a phrase's switches, words and slots; a slot that stands twice gets two different values."""
    while "[" in phrase:
        phrase = _SWITCH.sub(lambda switch: _pick(rng, switch[1].split("|")), phrase)
    phrase = _SWAPPABLE.sub(
        lambda word: _pick(rng, _SAME_THING[word[1]]) if rng.random() < _OTHER_WORD else word[1], phrase
    )
    said: list[str] = []

    def fill(slot: re.Match[str]) -> str:
        value = _value(rng, slot[1])
        while value in said:
            value = _value(rng, slot[1])
        said.append(value)
        return value

    return _article(" ".join(_SLOT.sub(fill, phrase).split()))


def _article(words: str) -> str:
    return _AN.sub("an", _A.sub("a", words))


def _value(rng: Random, slot: str) -> str:
    if slot == "order":
        return f"{_pick(rng, ('#', '', 'AB-', 'no. '))}{10_000 + int(rng.random() * 90_000)}"
    if slot == "money":
        return f"{5 + int(rng.random() * 300)}{_pick(rng, ('', '.90', '.50', '.99'))} {_pick(rng, ('euros', 'EUR'))}"
    return _pick(rng, phrases.VALUES[slot])


def _sentence(words: str) -> str:
    return words + ("?" if _QUESTION.match(words) else ".")


def _mistype(rng: Random, text: str) -> str:
    rate = _level(rng, _THUMBS)
    return " ".join(_slip(rng, word) if len(word) > 3 and rng.random() < rate else word for word in text.split(" "))


def _slip(rng: Random, word: str) -> str:
    """One wrong keystroke after the first letter: a swap, a loss, a double or the key beside it."""
    at = 1 + int(rng.random() * (len(word) - 2))
    key = word[at]
    slips = (word[at + 1] + key, word[at + 1], key + key + word[at + 1], _NEXT_KEY.get(key, key) + word[at + 1])
    return word[:at] + _pick(rng, slips) + word[at + 2 :]


def _restyle(rng: Random, text: str) -> str:
    style = rng.random()
    if style < 0.20:
        return text.lower().rstrip(".?")
    if style < 0.24:
        return text.upper()
    if style < 0.36 and text.endswith("."):
        return text.rstrip(".") + _pick(rng, ("!", "!!!", "..."))
    return text

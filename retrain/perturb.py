"""The same text as a hurried person writes it. Each change keeps the meaning, so a good model keeps its answer."""

import unicodedata
from collections.abc import Callable, Mapping
from random import Random

TYPO_RATE = 0.05
"""Share of letters that are hit wrongly; about one in five words of common length gets a typo."""

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHIFT = (0.0, 0.25, 0.75)
"""How far each row of keys is set to the right, in keys."""


def _neighbours() -> dict[str, str]:
    places = {
        key: (x + shift, y)
        for y, (row, shift) in enumerate(zip(_ROWS, _SHIFT, strict=True))
        for x, key in enumerate(row)
    }
    return {
        key: "".join(other for other, (u, v) in places.items() if other != key and abs(u - x) <= 1 and abs(v - y) <= 1)
        for key, (x, y) in places.items()
    }


NEIGHBOURS: Mapping[str, str] = _neighbours()
"""Keys that touch a key on a US keyboard, by that key."""


def with_typos(text: str, random: Random, *, rate: float = TYPO_RATE) -> str:
    """Each letter a to z becomes, with probability `rate`, one that lies beside it on the keyboard; case stays."""
    return "".join(_slip(letter, random) if random.random() < rate else letter for letter in text)


def in_upper_case(text: str) -> str:
    return text.upper()


def in_lower_case(text: str) -> str:
    return text.lower()


def without_punctuation(text: str) -> str:
    """Without punctuation of any script; an apostrophe leaves no gap, anything else does where it joined two words."""
    kept = "".join("" if c in "'’" else " " if _is_punctuation(c) else c for c in text)
    return " ".join(kept.split())


def perturbations(seed: int) -> dict[str, Callable[[str], str]]:
    """By name; what one does to a text depends on the seed and the text alone."""
    return {
        "typos": lambda text: with_typos(text, Random(f"{seed}:{text}")),  # noqa: S311  # typos, not secrets
        "upper_case": in_upper_case,
        "lower_case": in_lower_case,
        "no_punctuation": without_punctuation,
    }


def _slip(letter: str, random: Random) -> str:
    beside = NEIGHBOURS.get(letter.lower())
    if beside is None:
        return letter
    hit = random.choice(beside)
    return hit.upper() if letter.isupper() else hit


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")

"""More training rows from those there are: texts as people mistype and shorten them, with the label kept.

Off unless asked for. Only training rows are ever changed: what measures must be what was said. Which words carry the
meaning is not known here, so changes are few and small; numbers are never touched.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import punctuation

from retrain.dataset import Row
from store.errors import BadInput

_BESIDE = {
    letter: near
    for row in (
        "q:wa w:qeas e:wrsd r:etdf t:ryfg y:tugh u:yihj i:uojk o:ipkl p:ol a:qwsz s:awedxz d:serfcx f:drtgvc g:ftyhbv",
        "h:gyujnb j:huikmn k:jiolm l:kop z:asx x:zsdc c:xdfv v:cfgb b:vghn n:bhjm m:njk",
    )
    for letter, _, near in (each.partition(":") for each in row.split())
}
"""Keys that lie beside a letter on a QWERTY keyboard."""
_MIN_WORDS = 4
"""Of a text from which a word may be dropped: in fewer, each may be the one that matters."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How training texts are varied. Shares are of 0 to 1; with copies=0 nothing is done."""

    copies: int = 0
    """Varied rows that are added for each training row."""
    typo_share: float = 0.03
    """Of letters: a neighbour on the keyboard instead, the letter twice, left out, or swapped with the next."""
    drop_share: float = 0.05
    """Of words, in texts of at least four."""
    swap_share: float = 0.05
    """Of words: swapped with the one after it."""
    casing_share: float = 0.2
    """Of texts: all small, all capitals, or the first letter large."""
    punctuation_share: float = 0.2
    """Of texts: without any, or with another sign at the end."""

    def __post_init__(self) -> None:
        if self.copies < 0:
            raise BadInput(f"{self.copies} varied copies of a row cannot be made; give 0 or more")
        for name in ("typo_share", "drop_share", "swap_share", "casing_share", "punctuation_share"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise BadInput(f"{name} is {share}; it must be from 0 to 1")


def augment_rows(rows: Sequence[Row], how: Augmentation, *, seed: int) -> list[Row]:
    """`rows`, and after them the varied copies of those that train; the same seed makes the same copies.

    A copy keeps label, split and age, and is no longer the row of a prediction. One that came out as its source is
    left out.
    """
    made = []
    for row in rows:
        if row.split != "train":
            continue
        rng = random.Random(f"{seed}:{row.text}")  # noqa: S311 - chance, not a secret; the order of rows does not matter
        for _ in range(how.copies):
            text = vary(row.text, how, rng)
            if text != row.text:
                made.append(replace(row, text=text, prediction_id=None))
    return [*rows, *made]


def vary(text: str, how: Augmentation, rng: random.Random) -> str:
    """One variation of a text; it never comes out empty, and an empty one comes out as it was."""
    words = text.split()
    if not words:
        return text
    if len(words) >= _MIN_WORDS:
        kept = [word for word in words if _numeric(word) or rng.random() >= how.drop_share]
        words = kept or words
    place = 0
    while place + 1 < len(words):
        if rng.random() < how.swap_share and not (_numeric(words[place]) or _numeric(words[place + 1])):
            words[place], words[place + 1] = words[place + 1], words[place]
            place += 1
        place += 1
    words = [word if _numeric(word) else _mistyped(word, how.typo_share, rng) for word in words]
    varied = " ".join(words)
    if rng.random() < how.casing_share:
        varied = rng.choice((varied.lower(), varied.upper(), varied[:1].upper() + varied[1:]))
    if rng.random() < how.punctuation_share:
        bare = " ".join(word if _numeric(word) else word.strip(punctuation) for word in varied.split()).strip()
        varied = rng.choice((bare or varied, varied.rstrip(".!?") + rng.choice((".", "!", "?", "..."))))
    return varied


def _mistyped(word: str, share: float, rng: random.Random) -> str:
    letters: list[str] = []
    place = 0
    while place < len(word):
        letter = word[place]
        if not letter.isalpha() or rng.random() >= share:
            letters.append(letter)
        else:
            match rng.choice(("beside", "twice", "without", "swapped")):
                case "beside":
                    near = rng.choice(_BESIDE.get(letter.lower(), letter))
                    letters.append(near.upper() if letter.isupper() else near)
                case "twice":
                    letters += [letter, letter]
                case "swapped":
                    letters += [*word[place + 1 : place + 2], letter]
                    place += 1
        place += 1
    return "".join(letters) or word  # a word of one letter is not left out


def _numeric(word: str) -> bool:
    return any(letter.isdigit() for letter in word)

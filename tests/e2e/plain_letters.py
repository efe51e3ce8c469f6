"""Letters so plain that even a small backbone with random weights learns them in a few epochs."""

from random import Random

MATTERS = {
    "delivery": ["parcel", "courier", "late", "shipment", "arrived", "tracking", "delivered", "doorstep"],
    "invoice": ["invoice", "tax", "bill", "charged", "amount", "company", "receipt", "address"],
    "login": ["password", "account", "login", "locked", "reset", "email", "code", "sign"],
    "returns": ["return", "refund", "money", "broken", "exchange", "box", "label", "back"],
}
_FILLERS = ["please", "hello", "thanks", "the", "my", "your", "today", "help", "with", "about", "since", "and"]


def plain_letters(count: int, *, seed: int) -> list[tuple[str, str]]:
    """`count` different texts, each with its label; the same seed gives the same letters."""
    rng = Random(seed)
    labels = sorted(MATTERS)
    letters: dict[str, str] = {}
    while len(letters) < count:
        label = labels[len(letters) % len(labels)]
        words = rng.choices(MATTERS[label], k=rng.randint(3, 6)) + rng.choices(_FILLERS, k=rng.randint(1, 5))
        rng.shuffle(words)
        letters[" ".join(words)] = label
    return list(letters.items())

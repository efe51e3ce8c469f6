"""Texts to ask: those that come along, or a person's own file."""

import csv
import json
from io import StringIO
from pathlib import Path

from store.errors import BadInput

TEXTS = (
    "Where is my parcel?",
    "Refund please",
    "I was charged twice for the same order last week.",
    "The app closes by itself as soon as I open my basket.",
    "How do I change the address of an order that has not been sent yet?",
    "Hello, the blender I bought makes a loud noise and smells burnt, can I send it back for another one?",
    "Your last invoice names the wrong company. Please write it again with the tax number that I sent you on Monday, "
    "and let me know when the old one has been cancelled.",
    "It does not work.",
    "Thanks, that was quick!",
    "I have been waiting for three weeks now. First you told me that the lamp was out of stock, then that it had been "
    "sent, and today the carrier says that nothing was ever handed over. I would like to have my money back at once, "
    "and I would also like to know who is going to pay for the two days off that I took to be at home for a delivery "
    "that never came.",
    "Can you send the receipt again?",
    "The voucher code is refused although it is valid until the end of the year.",
)
"""Of mixed lengths, about 5 to 90 tokens, since real ones are."""


def read_texts(path: Path) -> list[str]:
    """One a line of .txt, or the `text` column of .csv and .jsonl; blank ones are left out. Raises BadInput."""
    readers = {".txt": _lines, ".csv": _csv, ".jsonl": _jsonl}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise BadInput(f"{path}: cannot tell its format from suffix {path.suffix!r}; save it as .txt, .csv or .jsonl")
    try:
        content = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: byte at offset {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
    try:
        texts = [text for text in read(content) if text.strip()]
    except (KeyError, TypeError):
        raise BadInput(f"{path} has rows without a text column") from None
    except ValueError as error:
        raise BadInput(f"{path} is no valid JSONL: {error}") from None
    if not texts:
        raise BadInput(f"{path} holds no text")
    return texts


def _lines(content: str) -> list[str]:
    return content.split("\n")


def _csv(content: str) -> list[str]:
    return [row["text"] or "" for row in csv.DictReader(StringIO(content, newline=""))]


def _jsonl(content: str) -> list[str]:
    return [str(json.loads(line)["text"]) for line in content.split("\n") if line.strip()]

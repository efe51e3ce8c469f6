"""Public data sets as a served model answers them, with the truth beside each answer.

The model is a linear head on MiniLM's frozen features, trained on rows that never enter a window. Features are kept in
`.bench-data`: scoring takes minutes, comparing monitors on what was scored seconds.
"""

import csv
import gzip
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame import quiet_logs, tell
from benchmarks.precision import DATA, train_head
from benchmarks.stage import build_base, opened
from engine.classification import softmax
from engine.engine import Engine, Scored
from engine.sketch import projection
from store.bases import get_base
from store.reference import Reference

KEPT = Path(__file__).parents[1] / ".bench-data"
OUT_OF_SCOPE = "oos"
MAX_TOKENS = 256
"""Where MiniLM cuts texts off."""


@dataclass(frozen=True, slots=True)
class Entry:
    text: str
    label: str
    domain: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Featured:
    """A whole data set after the backbone, before any head; in the order of the file."""

    entries: tuple[Entry, ...]
    features: NDArray[np.float32]
    """[rows, hidden]"""
    length_tokens: NDArray[np.int64]
    unknown_tokens: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """What a model answered to rows that did not train it."""

    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    scored: Scored
    true_label: NDArray[np.int64]
    """[rows], index into `labels`; -1 for a label that the model does not know."""

    def only(self, keep: Callable[[Entry], bool]) -> "Served":
        rows = np.array([i for i, entry in enumerate(self.entries) if keep(entry)], np.int64)
        scored = self.scored
        return Served(
            self.labels,
            tuple(self.entries[i] for i in rows),
            Scored(
                scored.probabilities[rows],
                scored.sketches[rows],
                scored.length_tokens[rows],
                scored.length_chars[rows],
                scored.unknown_tokens[rows],
            ),
            self.true_label[rows],
        )


def featured(name: str, folder: Path = DATA) -> Featured:
    """`clinc150`, `goemotions`, `snips` or `cisa_kev`. Raises FileNotFoundError where the data is not at hand."""
    file = next(folder.glob(f"{name}.*.gz"), None)
    if file is None:
        raise FileNotFoundError(f"no {name}.*.gz in {folder}")
    entries = tuple(_READERS[name](file))
    kept = KEPT / f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}.npz"
    if not kept.exists():
        tell(f"{name}: {len(entries):,} texts are scored once")
        KEPT.mkdir(exist_ok=True)
        _score(entries, kept)
    arrays = np.load(kept)
    return Featured(entries, arrays["features"], arrays["length_tokens"], arrays["unknown_tokens"])


def served(data: Featured, *, train_rows: int, known: Callable[[Entry], bool], seed: int = 0) -> Served:
    """Train a head on `train_rows` of the `known` entries, and let it answer all others; each text counts once."""
    teachable = np.array([row for row in unique_rows(data) if known(data.entries[row])], np.int64)
    return answered_by(data, np.random.default_rng(seed).permutation(teachable)[:train_rows])


def unique_rows(data: Featured) -> NDArray[np.int64]:
    """The first row of each text, in the order of the data."""
    first = {entry.text: row for row, entry in reversed(list(enumerate(data.entries)))}
    return np.array(sorted(first.values()), np.int64)


def answered_by(data: Featured, trained: NDArray[np.int64]) -> Served:
    """What a head that learned from the rows `trained` answers to all other texts, in the order of the data."""
    labels = tuple(sorted({data.entries[i].label for i in trained}))
    index = {label: number for number, label in enumerate(labels)}
    weight, bias = train_head(
        data.features[trained], np.array([index[data.entries[i].label] for i in trained]), len(labels)
    )
    rest = np.setdiff1d(unique_rows(data), trained)
    features = data.features[rest]
    return Served(
        labels=labels,
        entries=tuple(data.entries[i] for i in rest),
        scored=Scored(
            probabilities=softmax(features @ weight.T + bias),
            sketches=features @ projection(features.shape[1]),
            length_tokens=data.length_tokens[rest],
            length_chars=np.array([len(data.entries[i].text.strip()) for i in rest], np.int64),
            unknown_tokens=data.unknown_tokens[rest],
        ),
        true_label=np.array([index.get(data.entries[i].label, -1) for i in rest], np.int64),
    )


def reference_of(held: Served, rows: NDArray[np.int64]) -> Reference:
    """Some of the rows as the reference of a version."""
    scored = held.scored
    return Reference(
        labels=held.labels,
        probabilities=scored.probabilities[rows],
        sketches=scored.sketches[rows],
        length_tokens=scored.length_tokens[rows],
        length_chars=scored.length_chars[rows],
        unknown_tokens=scored.unknown_tokens[rows],
        true_label=held.true_label[rows],
        temperature=1.0,
        max_tokens=MAX_TOKENS,
    )


def _score(entries: tuple[Entry, ...], kept: Path) -> None:
    quiet_logs()
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        spec = build_base(home)
        with opened(home) as store:
            with store.database.read() as session:
                artifact = get_base(session, spec.name).artifact
            engine = Engine(store.artifacts.fetch(artifact), slots=2)
            texts = [entry.text for entry in entries]
            rows = engine.modality.encode(texts, truncate=True)
            np.savez(
                kept,
                features=engine.embed(texts),
                length_tokens=np.array([row.length_tokens for row in rows], np.int64),
                unknown_tokens=np.array([row.unknown_tokens for row in rows], np.int64),
            )


def _clinc150(file: Path) -> list[Entry]:
    domains: dict[str, list[str]] = json.loads((file.parent / "clinc150_domains.json").read_text())
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}
    with gzip.open(file, "rt") as opened_file:
        splits: dict[str, list[tuple[str, str]]] = json.load(opened_file)
    return [
        Entry(text, intent, domain_of.get(intent, OUT_OF_SCOPE)) for rows in splits.values() for text, intent in rows
    ]


def _table(file: Path) -> list[dict[str, str]]:
    with gzip.open(file, "rt", newline="") as opened_file:
        return list(csv.DictReader(opened_file))


def _goemotions(file: Path) -> list[Entry]:
    """In order of posting; comments with a single Ekman label."""
    rows = [row for row in _table(file) if "|" not in row["labels_ekman"] and row["text"].strip()]
    rows.sort(key=lambda row: int(row["comment_id"], 36))
    return [Entry(row["text"], row["labels_ekman"]) for row in rows]


def _snips(file: Path) -> list[Entry]:
    return [Entry(row["text"], row["intent"]) for row in _table(file)]


def _cisa_kev(file: Path) -> list[Entry]:
    """In order of date; the label says whether ransomware is known to use it, the domain is the date."""
    return [Entry(row["description"], row["ransomware_use"], row["date_added"]) for row in _table(file)]


_READERS: Mapping[str, Callable[[Path], Any]] = {
    "clinc150": _clinc150,
    "goemotions": _goemotions,
    "snips": _snips,
    "cisa_kev": _cisa_kev,
}

"""Questions to driftgate's models, with the labels that are right: by the engine itself in fp32."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.stage import opened
from cli.load.connection import Address
from cli.load.request import post_json
from engine.adapter import read_adapter
from engine.classification import softmax
from engine.engine import Engine
from store.versions import get_deployment, served_version

_TIE = 0.02
"""Texts whose two likeliest labels are closer than this are left out: rounding alone may turn them."""


@dataclass(frozen=True, slots=True)
class Question:
    model: str
    text: str
    label: str
    """The right one."""

    def request(self, address: Address) -> bytes:
        return post_json(address, f"/v1/models/{self.model}/predict", {"inputs": [self.text]})


@dataclass(frozen=True, slots=True)
class RightLabel:
    """The check of a load; picklable, since the load runs in another process."""

    questions: Sequence[Question]

    def __call__(self, number: int, body: bytes) -> bool:
        wanted = self.questions[number]
        try:
            answer = json.loads(body)
            return (answer["model"], answer["predictions"][0]["label"]) == (wanted.model, wanted.label)
        except (ValueError, KeyError, IndexError, TypeError):
            return False


def find_answers(home: Path, asked: Sequence[tuple[str, str]]) -> list[Question]:
    """asked: model and text. The right answer of each by the model's production version, without the unclear ones."""
    models = list(dict.fromkeys(model for model, _ in asked))
    with opened(home) as store:
        with store.database.read() as session:
            served = {m: served_version(session, m, get_deployment(session, m).production or 0) for m in models}
        engine = Engine(
            store.artifacts.fetch(served[models[0]].base_artifact), slots=len(models) + 1, lanes=1, provider="cpu"
        )
        slots = _load_all(engine, {m: store.artifacts.fetch(version.adapter_artifact) for m, version in served.items()})
    rows = engine.modality.encode([text for _, text in asked], truncate=False)
    found: dict[int, Question] = {}
    waiting = sorted(range(len(asked)), key=lambda i: rows[i].length_tokens)
    while waiting:
        batch, waiting = waiting[:8], waiting[8:]  # so alike in length that padding hardly exists
        logits = engine.run([rows[i] for i in batch], [slots[asked[i][0]] for i in batch]).logits
        for i, row in zip(batch, logits, strict=True):
            labels = served[asked[i][0]].labels
            probabilities = softmax(row[: len(labels)])
            second, first = np.sort(probabilities)[-2:]
            if first - second > _TIE:
                found[i] = Question(*asked[i], labels[int(probabilities.argmax())])
    return [found[i] for i in sorted(found)]


def _load_all(engine: Engine, folders: Mapping[str, Path]) -> dict[str, int]:
    """Models by the slot that each adapter lies in."""
    slots = {}
    for model, folder in folders.items():
        engine.bank.load(model, read_adapter(folder, engine.spec, assume_base=True))
        slot = engine.bank.lease(model)
        assert slot is not None, "it was loaded just now"
        slots[model] = slot
    return slots

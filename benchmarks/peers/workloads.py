"""What is asked: the requests of each workload for each protocol, with the answers that are right."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.mixed_text import grouped, minilm_tokenizer, mixed_texts
from benchmarks.peers.model import PlainJudge
from benchmarks.peers.roster import Answer, Protocol
from cli.load.connection import Address
from cli.load.request import post_json

TEXTS = 2_000
_TIE = 0.02
"""Texts whose two likeliest labels are closer than this are left out: rounding alone may turn them."""


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    title: str
    stage: str
    """minilm or tiny."""
    texts_per_request: int
    clients: tuple[int, ...]
    stretch: float = 1.0
    """Turns are so many times longer: where requests are few, their number alone is a coarse measure."""


WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("text", "MiniLM, mixed lengths, one text a request", "minilm", 1, (1, 2, 4, 8, 16, 32, 64, 128)),
        Workload("many", "MiniLM, mixed lengths, 32 texts a request", "minilm", 32, (2,), stretch=2.0),
        Workload("tiny", "tiny base (1 layer, hidden 32), one text a request", "tiny", 1, (1, 8, 32)),
    )
}


@dataclass(frozen=True, slots=True)
class Questions:
    """The requests of a workload, and what is right for each of their texts."""

    texts: list[list[str]]
    expected: list[list[Answer]]

    def requests(self, address: Address, protocol: Protocol) -> list[bytes]:
        return [post_json(address, protocol.path, protocol.body(texts)) for texts in self.texts]


@dataclass(frozen=True, slots=True)
class RightAnswer:
    """The check of a load; picklable, since the load runs in another process."""

    expected: Sequence[Sequence[Answer]]
    protocol: Protocol
    tolerance: float

    def __call__(self, number: int, body: bytes) -> bool:
        try:
            answers = self.protocol.answers(json.loads(body))
        except (ValueError, KeyError, TypeError):
            return False
        wanted = self.expected[number]
        return len(answers) == len(wanted) and all(
            label == right and abs(score - exact) <= self.tolerance
            for (label, score), (right, exact) in zip(answers, wanted, strict=True)
        )


def ask_questions(model: Path, workload: Workload, *, seed: int) -> Questions:
    """model: the folder that `export_plain` wrote, which also says what is right."""
    judge = PlainJudge(model)
    texts, answers = [], []
    for text in mixed_texts(minilm_tokenizer(), TEXTS, seed=seed):
        probabilities = judge.probabilities(text)
        second, first = np.sort(probabilities)[-2:]
        if first - second > _TIE:
            texts.append(text)
            answers.append((judge.labels[int(probabilities.argmax())], float(first)))
    size = workload.texts_per_request
    return Questions(grouped(texts, size), [answers[at : at + size] for at in range(0, len(texts) - size + 1, size)])

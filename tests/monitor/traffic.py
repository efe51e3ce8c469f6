"""Synthetic traffic with every signal in it: what a four-label text model sees, and what drift does to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from engine.sketch import SKETCH_DIM, pack_floats
from monitor.window import Window
from store.predictions import NewPrediction
from store.reference import Reference

MAX_TOKENS = 128
LABELS = ("billing", "delivery", "refund", "technical")


@dataclass(frozen=True)
class Source:
    """Where rows come from. The defaults are the world that the model was trained on."""

    prior: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    topic_shift: float = 0.0
    """Moves the embeddings, in units of the noise of one coordinate."""
    length_mean: float = 18.0
    chars_a_token: float = 4.5
    unknown_share: float = 0.02
    margin: float = 3.5
    """Mean logit of the true label above the others; a smaller one makes the model unsure and wrong."""


@dataclass(frozen=True)
class Rows:
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    sketches: NDArray[np.float32]
    length_tokens: NDArray[np.int64]
    length_chars: NDArray[np.int64]
    unknown_tokens: NDArray[np.int64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        return self.probabilities.argmax(axis=1)


DRIFTED = Source(prior=(0.7, 0.1, 0.1, 0.1), topic_shift=1.0, length_mean=30.0, unknown_share=0.15, margin=1.5)


def draw(source: Source, rows: int, rng: np.random.Generator) -> Rows:
    classes = len(source.prior)
    truth = rng.choice(classes, size=rows, p=source.prior)
    centres = np.random.default_rng(99).normal(size=(classes, SKETCH_DIM))
    topic = np.random.default_rng(98).normal(size=SKETCH_DIM)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), truth] += source.margin
    raised = np.exp(logits)
    length = np.clip(rng.lognormal(np.log(source.length_mean), 0.5, rows).round(), 3, MAX_TOKENS).astype(np.int64)
    return Rows(
        truth=truth,
        probabilities=(raised / raised.sum(axis=1, keepdims=True)).astype(np.float32),
        sketches=(centres[truth] + rng.normal(size=(rows, SKETCH_DIM)) + source.topic_shift * topic).astype(np.float32),
        length_tokens=length,
        unknown_tokens=rng.binomial(length, source.unknown_share),
        length_chars=(length * source.chars_a_token * rng.uniform(0.8, 1.2, rows)).round().astype(np.int64),
    )


def as_reference(rows: Rows, *, temperature: float = 1.0) -> Reference:
    return Reference(
        labels=LABELS,
        probabilities=rows.probabilities,
        sketches=rows.sketches,
        length_tokens=rows.length_tokens,
        length_chars=rows.length_chars,
        unknown_tokens=rows.unknown_tokens,
        true_label=rows.truth,
        temperature=temperature,
        max_tokens=MAX_TOKENS,
    )


def as_window(rows: Rows) -> Window:
    return Window(
        probabilities=rows.probabilities.astype(np.float16).astype(np.float32),
        sketches=rows.sketches.astype(np.float16).astype(np.float32),
        length_tokens=rows.length_tokens,
        length_chars=rows.length_chars,
        unknown_tokens=rows.unknown_tokens,
        predicted=rows.predicted,
        score=rows.probabilities.max(axis=1).astype(np.float64),
        seq=tuple(range(1, len(rows.truth) + 1)),
    )


def as_predictions(
    rows: Rows,
    model: str,
    version: int,
    *,
    first_id: int,
    at: datetime,
    audit: float | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[NewPrediction]:
    """Rows as the server records them, `audit` of them with the probability of their draw into the audit sample."""
    return [
        NewPrediction(
            id=f"p{first_id + i}",
            model=model,
            version=version,
            input=f"text {first_id + i}".ljust(rows.length_chars[i], "."),
            label=LABELS[rows.predicted[i]],
            score=float(rows.probabilities[i].max()),
            probabilities=pack_floats(rows.probabilities[i]),
            sketch=pack_floats(rows.sketches[i]),
            length_tokens=int(rows.length_tokens[i]),
            unknown_tokens=int(rows.unknown_tokens[i]),
            latency_s=0.01,
            reason="sample",
            inclusion=1.0,
            tags=dict(tags or {}),
            request_id="r",
            at=at,
            audit=audit,
        )
        for i in range(len(rows.truth))
    ]


def with_reason(rows: list[NewPrediction], reason: str) -> list[NewPrediction]:
    return [replace(row, reason=reason) for row in rows]

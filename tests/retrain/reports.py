"""A report as an evaluation makes it, of made-up answers: quick, and every section has something in it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain.as_served import AsServed
from retrain.baselines import Baseline
from retrain.dataset import Row
from retrain.report import Answered, make_report
from retrain.robustness import measure_robustness

SERVED = AsServed("fp32", "cpu", 0.004, 0.007, 120, 480.0, 91_000_000, 1_200_000, "x86_64", 2)


def made_up_report(
    labels: Sequence[str] = ("billing", "refund", "delivery"),
    *,
    rows: int = 240,
    right: float = 0.97,
    production: float | None = 0.75,
    seed: int = 0,
) -> dict[str, Any]:
    """right, production: share of rows that each answers rightly."""
    generator = np.random.default_rng(seed)
    test = [
        Row(f"Text {i}, please!", labels[i % len(labels)], split="test", origin="audit" if i % 3 == 0 else "seed")
        for i in range(rows)
    ]
    truth = [row.label for row in test]

    def answers(share: float) -> list[str]:
        wrong = generator.choice(labels, rows)
        return [t if hit else str(w) for t, w, hit in zip(truth, wrong, generator.random(rows) < share, strict=True)]

    own = answers(right)
    probabilities = np.full((rows, len(labels)), 0.1 / max(len(labels) - 1, 1), np.float32)
    probabilities[np.arange(rows), [labels.index(label) for label in own]] = generator.uniform(0.6, 1, rows)
    before = None if production is None else Baseline("production", "the version before", tuple(answers(production)))
    answered = Answered(
        train=tuple(test[:10]),
        validation=tuple(test[:60]),
        test=tuple(test),
        new=frozenset(test[: rows // 4]),
        length_tokens=np.arange(rows) % 11 + 3,
        version=Baseline("version", "the base with its adapter, in fp32", tuple(own), tuple(labels), probabilities),
        production=before,
        tuned=probabilities[:60],
    )
    baselines = [
        Baseline("majority", f"always answers {labels[0]!r}", (labels[0],) * rows),
        Baseline("tfidf", "word and letter n-grams", tuple(answers(0.75))),
    ]
    robustness = measure_robustness(
        lambda texts: [labels[len(text) % len(labels)] for text in texts],
        [row.text for row in test],
        truth,
        own,
        seed=seed,
    )
    return make_report(answered, baselines, robustness, SERVED)

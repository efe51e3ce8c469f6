"""Evaluation by the serving engine itself: what is judged is exactly what will be served."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.adapter import read_adapter
from engine.engine import Engine, Scored
from retrain.calibrate import fit_temperature
from retrain.dataset import Row
from retrain.gate import NO_ROWS, GateEvidence, PairedRows
from retrain.scores import Scores, score_labels
from store.reference import Reference

REFERENCE_MIN_ROWS = 100
"""Held-out new rows from which on they alone are the reference of a new version."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What one version answered to some rows."""

    labels: tuple[str, ...]
    scored: Scored

    @property
    def predicted(self) -> list[str]:
        return [self.labels[i] for i in self.scored.probabilities.argmax(axis=1)]

    def correct(self, rows: Sequence[Row]) -> NDArray[np.bool_]:
        pairs = zip(self.predicted, rows, strict=True)
        return np.array([label == row.label for label, row in pairs], np.bool_)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Rows that no version of the model was trained on, by what they may decide."""

    old: tuple[Row, ...]
    """Test rows of the snapshot before; of the first snapshot for a first version."""
    new: tuple[Row, ...]
    """Audit test rows that came since."""
    reference: tuple[Row, ...]
    """What the monitor will compare production with: see choose_reference."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    gate: GateEvidence
    summary: dict[str, Any]
    reference: Reference


def hold_out(rows: Sequence[Row], *, new_after_seq: int | None) -> HeldOut:
    """Sort a snapshot's rows. new_after_seq: feedback after it is new; None for a first version."""
    test = [row for row in rows if row.split == "test"]
    new = [row for row in test if _is_new(row, new_after_seq)]
    old = [row for row in test if not _is_new(row, new_after_seq)]
    return HeldOut(tuple(old), tuple(new), tuple(choose_reference(rows, new_after_seq=new_after_seq)))


def choose_reference(rows: Sequence[Row], *, new_after_seq: int | None) -> list[Row]:
    """The rows that stand for what a version is meant to see.

    A version that was trained because the world changed must be compared with the changed world: when the new audit
    rows that were held out suffice, they alone are the reference; else all validation rows.
    """
    held_out = [row for row in rows if row.split in ("validation", "test") and _is_new(row, new_after_seq)]
    if len(held_out) >= REFERENCE_MIN_ROWS:
        return held_out
    return [row for row in rows if row.split == "validation"]


def evaluate(
    bundle: Path,
    held_out: HeldOut,
    *,
    train: Sequence[Row],
    candidate: Path,
    production: Path | None,
    requires_improvement: bool,
) -> Evaluation:
    """Score candidate and production (adapter folders) on the held-out rows, with one engine."""
    engine = Engine(bundle, slots=2)
    candidate_answers = {name: _answer(engine, candidate, rows) for name, rows in _sets(held_out).items()}
    production_answers = (
        {}
        if production is None
        else {name: _answer(engine, production, rows) for name, rows in _sets(held_out).items()}
    )
    majority = Counter(row.label for row in train).most_common(1)[0][0]
    summary: dict[str, Any] = {}
    paired: dict[str, PairedRows] = {}
    for name, rows in (("old", held_out.old), ("new", held_out.new)):
        if not rows:
            continue
        truth = [row.label for row in rows]
        scores = score_labels(truth, candidate_answers[name].predicted, majority=majority)
        summary[name] = {"candidate": scores.as_dict()}
        if name in production_answers:
            summary[name]["production"] = score_labels(
                truth, production_answers[name].predicted, majority=majority
            ).as_dict()
        paired[name] = _pair(rows, candidate_answers[name], production_answers.get(name), scores)
    overall = _overall(held_out, candidate_answers, majority)
    summary |= {"accuracy": overall.accuracy, "macro_f1": overall.macro_f1, "interval": list(overall.interval)}
    summary["test_rows"] = overall.rows
    reference = _reference(held_out.reference, candidate_answers["reference"])
    summary["validation_accuracy"] = reference.accuracy
    evidence = GateEvidence(
        old=paired.get("old", NO_ROWS), new=paired.get("new", NO_ROWS), requires_improvement=requires_improvement
    )
    return Evaluation(evidence, summary, reference)


def _is_new(row: Row, new_after_seq: int | None) -> bool:
    return new_after_seq is not None and row.feedback_seq is not None and row.feedback_seq > new_after_seq


def _sets(held_out: HeldOut) -> dict[str, tuple[Row, ...]]:
    return {"old": held_out.old, "new": held_out.new, "reference": held_out.reference}


def _answer(engine: Engine, adapter: Path, rows: Sequence[Row]) -> Answers:
    packed = read_adapter(adapter, engine.spec, assume_base=True)
    engine.bank.load(str(adapter), packed)
    scored = engine.score([row.text for row in rows], str(adapter), labels=len(packed.labels))
    return Answers(packed.labels, scored)


def _pair(rows: Sequence[Row], candidate: Answers, production: Answers | None, scores: Scores) -> PairedRows:
    return PairedRows(
        production_correct=None if production is None else production.correct(rows),
        candidate_correct=candidate.correct(rows),
        majority_accuracy=scores.majority_accuracy,
    )


def _overall(held_out: HeldOut, answers: dict[str, Answers], majority: str) -> Scores:
    truth = [row.label for row in held_out.old + held_out.new]
    return score_labels(truth, answers["old"].predicted + answers["new"].predicted, majority=majority)


def _reference(rows: Sequence[Row], answers: Answers) -> Reference:
    index = {label: i for i, label in enumerate(answers.labels)}
    true_label = np.array([index.get(row.label, -1) for row in rows], np.int64)
    scored = answers.scored
    return Reference(
        labels=answers.labels,
        probabilities=scored.probabilities,
        sketches=scored.sketches,
        length_tokens=scored.length_tokens,
        unknown_tokens=scored.unknown_tokens,
        true_label=true_label,
        temperature=fit_temperature(scored.probabilities, true_label),
    )

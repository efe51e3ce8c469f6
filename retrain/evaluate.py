"""Evaluation by the serving engine itself: what is judged is exactly what will be served."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.adapter import read_adapter
from engine.engine import Engine, Scored
from engine.precision import Precision, PrecisionCheck, checks_to_json, choose_precision
from engine.speed import offered_precisions
from retrain.baselines import Baseline
from retrain.calibrate import fit_temperature
from retrain.dataset import Row
from retrain.features import FeatureCache
from retrain.gate import NO_ROWS, GateEvidence, PairedRows
from retrain.measure import measure_version
from retrain.replay import is_new
from retrain.report import Answered, summarise
from retrain.scores import Scores, score_labels
from store.errors import BadInput
from store.reference import Reference

REFERENCE_MIN_ROWS = 100
"""Held-out new rows from which on they alone are the reference of a new version."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What one version answered to some rows."""

    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    scored: Scored

    @property
    def predicted(self) -> list[str]:
        return [self.labels[i] for i in self.scored.probabilities.argmax(axis=1)]

    @property
    def correct(self) -> NDArray[np.bool_]:
        pairs = zip(self.predicted, self.rows, strict=True)
        return np.array([label == row.label for label, row in pairs], np.bool_)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Whether the adapter's weights left a number; the server refuses to answer otherwise."""
        finite = np.isfinite(self.scored.probabilities)
        return np.asarray(finite.all(axis=1), np.bool_)

    def on(self, rows: Sequence[Row]) -> "Answers":
        """The answers to some of the rows."""
        place = {row: i for i, row in enumerate(self.rows)}
        take = np.array([place[row] for row in rows], np.int64)
        scored = Scored(
            probabilities=self.scored.probabilities[take],
            sketches=self.scored.sketches[take],
            length_tokens=self.scored.length_tokens[take],
            length_chars=self.scored.length_chars[take],
            unknown_tokens=self.scored.unknown_tokens[take],
        )
        return Answers(self.labels, tuple(rows), scored)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Rows that no version of the model was trained on, by what they may decide."""

    old: tuple[Row, ...]
    """Test rows of the snapshot before; of the first snapshot for a first version."""
    new: tuple[Row, ...]
    """Audit test rows that came since."""
    reference: tuple[Row, ...]
    """What the monitor will compare production with: see choose_reference."""
    every: tuple[Row, ...]
    """All validation and test rows, the others among them: the more rows, the surer the check of a precision."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How servers of this store choose a version's precision; all processes of a store share these settings."""

    provider: str = "auto"
    precision: Precision | Literal["auto"] = "auto"
    max_loss: float = 0.005
    speeds: Mapping[Precision, float] = field(default_factory=dict)
    """Tokens/s by precision, as the base's record keeps them."""


@dataclass(frozen=True, slots=True)
class Servable:
    """What it takes to answer as a version."""

    bundle: Path
    """Of the base it stands on."""
    adapter: Path


class _Engines:
    """One engine a base, opened when it is first asked for."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._open: dict[Path, Engine] = {}

    def of(self, bundle: Path) -> Engine:
        if bundle not in self._open:
            self._open[bundle] = Engine(bundle, slots=2, lanes=1, provider=self._provider)
        return self._open[bundle]


@dataclass(frozen=True, slots=True)
class Evaluation:
    gate: GateEvidence
    summary: dict[str, Any]
    reference: Reference
    report: dict[str, Any]
    """For people; see store/report.py."""


def hold_out(rows: Sequence[Row], *, new_after_seq: int | None) -> HeldOut:
    """Sort a snapshot's rows. new_after_seq: feedback after it is new; None for a first version."""
    test = [row for row in rows if row.split == "test"]
    new = [row for row in test if is_new(row, new_after_seq)]
    old = [row for row in test if not is_new(row, new_after_seq)]
    reference = choose_reference(rows, new_after_seq=new_after_seq)
    every = [row for row in rows if row.split in ("validation", "test")]
    return HeldOut(tuple(old), tuple(new), tuple(reference), tuple(every))


def choose_reference(rows: Sequence[Row], *, new_after_seq: int | None) -> list[Row]:
    """The rows that stand for what a version is meant to see.

    A version that was trained because the world changed must be compared with the changed world: when the new audit
    rows that were held out suffice, they alone are the reference; else all validation rows.
    """
    held_out = [row for row in rows if row.split in ("validation", "test") and is_new(row, new_after_seq)]
    if len(held_out) >= REFERENCE_MIN_ROWS:
        return held_out
    return [row for row in rows if row.split == "validation"]


def evaluate(
    base: Path,
    held_out: HeldOut,
    *,
    train: Sequence[Row],
    candidate: Servable,
    production: Servable | None,
    requires_improvement: bool,
    serving: Serving,
    features: Path,
    others: Sequence[Baseline] = (),
    progress: Callable[[float], None] = lambda share: None,
) -> Evaluation:
    """Score candidate and production on the held-out rows, each with the engine that serves it.

    base: bundle whose frozen features the baselines use. features: folder that keeps them. others: further ways to
    answer the test rows, old ones first, such as a network trained from random weights. progress: called with the
    share that is done, 0 to 1.
    The gate compares in fp32. The reference is scored in the precision in which the version will be served: the
    monitor compares windows with it, and must not take the rounding of a precision for drift.
    """
    engines = _Engines(serving.provider)
    engine = engines.of(candidate.bundle)
    in_each = _answer_in_each(engine, candidate.adapter, held_out.every)
    checks = compare_with_fp32(in_each)
    speeds = {name: speed for name, speed in serving.speeds.items() if name in in_each}
    choice = choose_precision(serving.precision, speeds=speeds, checks=checks, max_loss=serving.max_loss)
    test = {"old": held_out.old, "new": held_out.new}
    candidate_answers = {name: in_each["fp32"].on(rows) for name, rows in test.items()}
    production_answers: dict[str, Answers] = {}
    if production is not None:
        answering = engines.of(production.bundle)
        production_answers = {name: _answer(answering, production.adapter, rows) for name, rows in test.items()}
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
        paired[name] = _pair(candidate_answers[name], production_answers.get(name), scores)
    overall = _overall(held_out, candidate_answers, majority)
    summary |= {"accuracy": overall.accuracy, "macro_f1": overall.macro_f1, "interval": list(overall.interval)}
    summary["test_rows"] = overall.rows
    reference = _reference(in_each[choice.precision].on(held_out.reference), max_tokens=engine.spec.max_tokens)
    summary["validation_accuracy"] = reference.accuracy
    summary["reference_precision"] = choice.precision
    summary["precision"] = checks_to_json(checks)
    evidence = GateEvidence(
        old=paired.get("old", NO_ROWS), new=paired.get("new", NO_ROWS), requires_improvement=requires_improvement
    )
    answered = _answered(held_out, train, in_each["fp32"], None if production is None else production_answers)
    report = measure_version(
        engine,
        str(candidate.adapter),
        answered,
        precision=choice.precision,
        features=FeatureCache(features, engines.of(base)),
        others=others,
        progress=progress,
    )
    return Evaluation(evidence, summary | summarise(report), reference, report)


def rows_to_check(rows: Sequence[Row], *, labels: Sequence[str], trained: Collection[str] = ()) -> list[Row]:
    """The rows of a person's file that may check a version: each text once, and none that trained it.

    labels: of the version. trained: groups of the rows that trained it. Raises BadInput if nothing is left.
    """
    known = [row for row in rows if row.label in set(labels)]
    if not known:
        seen, has = sorted({row.label for row in rows})[:5], list(labels[:5])
        raise BadInput(
            f"no row has a label of the version: the file has {', '.join(seen)}, the version {', '.join(has)}"
        )
    fresh = {row.group: row for row in reversed(rows) if row.group not in trained}
    if not fresh:
        raise BadInput("every row of the file trained the version; bring rows that it has not seen")
    return list(reversed(fresh.values()))


def check_precisions(
    bundle: Path, adapter: Path, rows: Sequence[Row], *, provider: str = "auto"
) -> dict[Precision, PrecisionCheck]:
    """Check the adapter folder in every precision that runs here, on rows that did not train it."""
    engine = Engine(bundle, slots=2, lanes=1, provider=provider)
    return compare_with_fp32(_answer_in_each(engine, adapter, rows))


def compare_with_fp32(answers: Mapping[Precision, Answers]) -> dict[Precision, PrecisionCheck]:
    """Count, for each precision but fp32, the rows that it alone answers wrongly, and that it alone answers rightly.

    An answer that overflowed is lost, in whichever precision: it would spoil others of its batch.
    """
    plain = answers["fp32"].correct
    return {
        precision: PrecisionCheck(
            precision,
            rows=len(plain),
            lost=int(np.sum(plain & ~found.correct | ~found.usable)),
            gained=int(np.sum(~plain & found.correct & found.usable)),
        )
        for precision, found in answers.items()
        if precision != "fp32"
    }


def _answer(engine: Engine, adapter: Path, rows: Sequence[Row], *, precision: Precision = "fp32") -> Answers:
    packed = read_adapter(adapter, engine.spec, assume_base=True)
    engine.bank.load(str(adapter), packed)
    texts = [row.text for row in rows]
    scored = engine.score(texts, str(adapter), labels=len(packed.labels), precision=precision)
    return Answers(packed.labels, tuple(rows), scored)


def _answer_in_each(engine: Engine, adapter: Path, rows: Sequence[Row]) -> dict[Precision, Answers]:
    answers: dict[Precision, Answers] = {}
    for precision in offered_precisions(engine):
        engine.open(precision)
        answers[precision] = _answer(engine, adapter, rows, precision=precision)
    return answers


def _pair(candidate: Answers, production: Answers | None, scores: Scores) -> PairedRows:
    return PairedRows(
        production_correct=None if production is None else production.correct,
        candidate_correct=candidate.correct,
        majority_accuracy=scores.majority_accuracy,
    )


def _overall(held_out: HeldOut, answers: dict[str, Answers], majority: str) -> Scores:
    truth = [row.label for row in held_out.old + held_out.new]
    return score_labels(truth, answers["old"].predicted + answers["new"].predicted, majority=majority)


def _answered(
    held_out: HeldOut, train: Sequence[Row], version: Answers, production: Mapping[str, Answers] | None
) -> Answered:
    """production: its answers to the old and the new test rows."""
    test = held_out.old + held_out.new
    validation = tuple(row for row in held_out.every if row.split == "validation")
    tested = version.on(test)
    before = None
    if production is not None:
        parts = [production[name] for name in ("old", "new")]
        before = Baseline(
            "production",
            "the version that was in production when this one was made",
            tuple(label for part in parts for label in part.predicted),
            parts[0].labels,
            np.nan_to_num(np.concatenate([part.scored.probabilities for part in parts])),
        )
    return Answered(
        train=tuple(train),
        validation=validation,
        test=test,
        new=held_out.new,
        length_tokens=tested.scored.length_tokens,
        version=Baseline(
            "version",
            "the base with its adapter, in fp32",
            tuple(tested.predicted),
            version.labels,
            np.nan_to_num(tested.scored.probabilities),
        ),
        production=before,
        tuned=np.nan_to_num(version.on(validation).scored.probabilities),
    )


def _reference(answers: Answers, *, max_tokens: int) -> Reference:
    index = {label: i for i, label in enumerate(answers.labels)}
    true_label = np.array([index.get(row.label, -1) for row in answers.rows], np.int64)
    scored = answers.scored
    return Reference(
        labels=answers.labels,
        probabilities=scored.probabilities,
        sketches=scored.sketches,
        length_tokens=scored.length_tokens,
        length_chars=scored.length_chars,
        unknown_tokens=scored.unknown_tokens,
        true_label=true_label,
        temperature=fit_temperature(scored.probabilities, true_label),
        max_tokens=max_tokens,
    )

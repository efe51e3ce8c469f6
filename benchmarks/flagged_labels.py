"""Flagged labels: what an accuracy says that counts them, beside one that counts the audit sample only.

Many worlds, each with a model that is right in nine of ten answers. A part of the traffic is drawn at random and
reviewed; then callers flag a share of the wrong answers, and a few of the right ones. All of it goes through a real
store, and flags come after the reviews, some of them on reviewed rows.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path

import numpy as np

from benchmarks.frame import begin, options, tell
from engine.sketch import SKETCH_DIM, pack_floats
from monitor.accuracy import Estimate, audit_accuracy
from monitor.backtest import exact_interval
from server.recording import decide_recording, lottery
from store.database import Database, open_database
from store.feedback import LabelledRow, NewFeedback, add_feedback, audit_verdicts, labelled_rows
from store.predictions import NewPrediction, add_predictions
from store.settings import load_settings

LABELS = ("billing", "delivery", "refund", "technical")
ACCURACY = 0.9
FLAG_RATES = (0.0, 0.1, 0.3, 0.6, 0.9)
"""Shares of the wrong answers that somebody flags."""
FLAGGED_RIGHT = 0.01
"""Share of the right answers that somebody speaks up about, to confirm them."""
_NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Answer:
    row: NewPrediction
    truth: str
    flagged_from: float
    """The flag rate from which on this answer is flagged: who flags more flags the same rows, and others."""

    @property
    def right(self) -> bool:
        return self.row.label == self.truth


@dataclass(frozen=True, slots=True)
class Figures:
    """One world at one flag rate; shares of right answers."""

    truth: float
    """Of all its traffic."""
    naive: float
    """Of all labelled rows."""
    weighted: float
    """Of all labelled rows, each drawn one weighted with the inverse of its probability; a flagged one counts once, as
    nobody knows how likely it was to be flagged."""
    ours: Estimate


def main() -> None:
    parser = options("flagged_labels", __doc__)
    parser.add_argument("--worlds", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--predictions", type=int, default=2_000, help="in each world (default: %(default)s)")
    parser.add_argument("--audit-rate", type=float, default=0.1, help="(default: %(default)s)")
    asked = begin(parser)
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        database = open_database(load_settings(home=Path(folder)))
        worlds = [
            list(play_world(database, number, rows=asked.predictions, audit_rate=asked.audit_rate))
            for number in range(asked.worlds)
        ]
        database.close()
    for rate, found in zip(FLAG_RATES, zip(*worlds, strict=True), strict=True):
        tell(_line(rate, found))
    moved = sum(len({figures.ours for figures in world}) > 1 for world in worlds)
    tell(f"worlds in which flags moved ours: {moved} of {asked.worlds}{', MISSED' if moved else ''}")


def play_world(
    database: Database, number: int, *, rows: int, audit_rate: float, flag_rates: Sequence[float] = FLAG_RATES
) -> Iterator[Figures]:
    """The figures at each flag rate, in rising order. Seeded by `number`, which also names the model of this world."""
    model = f"world-{number}"
    answers = _answers(model, rows, audit_rate, np.random.default_rng(number))
    with database.write() as session:
        add_predictions(session, [answer.row for answer in answers])
    _say(database, [_review(answer) for answer in answers if answer.row.audit is not None])
    truth = float(np.mean([answer.right for answer in answers]))
    before = 0.0
    for rate in flag_rates:
        _say(database, [_flag(answer) for answer in answers if before <= answer.flagged_from < rate])
        before = rate
        with database.read() as session:
            labelled = labelled_rows(session, model)
            ours = audit_accuracy(audit_verdicts(session, model, 1, rows=rows))
        if ours is None:
            raise ValueError(f"of {rows} rows none was drawn at the rate {audit_rate}")
        yield Figures(truth, _share_right(labelled, weighted=False), _share_right(labelled, weighted=True), ours)


def _answers(model: str, rows: int, audit_rate: float, rng: np.random.Generator) -> list[Answer]:
    predicted = rng.integers(len(LABELS), size=rows)
    right = rng.random(rows) < ACCURACY
    truth = np.where(right, predicted, (predicted + rng.integers(1, len(LABELS), rows)) % len(LABELS))
    flagged_from = rng.random(rows)
    flagged_from[right] = np.where(flagged_from[right] < FLAGGED_RIGHT, 0.0, np.inf)
    blank = pack_floats(np.zeros(SKETCH_DIM))
    found = []
    for i in range(rows):
        identifier = f"{model}:1:{i:032x}"
        choice = decide_recording(lottery(identifier), 1.0, sample_rate=1.0, audit_rate=audit_rate, low_score=0.0)
        row = NewPrediction(
            id=identifier,
            model=model,
            version=1,
            input=f"text {i}",
            label=LABELS[predicted[i]],
            score=1.0,
            probabilities=pack_floats(np.eye(len(LABELS))[predicted[i]]),
            sketch=blank,
            length_tokens=4,
            unknown_tokens=0,
            latency_s=0.01,
            reason="sample",
            inclusion=1.0,
            tags={},
            request_id="r",
            at=_NOW,
            audit=choice.audit if choice else None,
        )
        found.append(Answer(row, LABELS[truth[i]], float(flagged_from[i])))
    return found


def _review(answer: Answer) -> NewFeedback:
    return NewFeedback(
        answer.row.id, answer.row.model, 1, answer.truth, None, None, None, by="reviewer", origin="audit"
    )


def _flag(answer: Answer) -> NewFeedback:
    label, correct = (None, True) if answer.right else (answer.truth, None)
    return NewFeedback(answer.row.id, answer.row.model, 1, label, correct, None, None, by="caller")


def _say(database: Database, verdicts: Sequence[NewFeedback]) -> None:
    with database.write() as session:
        for verdict in verdicts:
            add_feedback(session, verdict, now=_NOW)


def _share_right(rows: Sequence[LabelledRow], *, weighted: bool) -> float:
    weights = [1 / row.inclusion if weighted and row.inclusion is not None else 1.0 for row in rows]
    return float(np.average([row.label == row.predicted for row in rows], weights=weights))


def _line(rate: float, found: Sequence[Figures]) -> str:
    truth = np.array([figures.truth for figures in found])
    covered = sum(figures.ours.low <= figures.truth <= figures.ours.high for figures in found)
    low, high = exact_interval(covered, len(found))
    missed = ", MISSED" if high < 0.95 else ""
    said = ", ".join(
        f"{name} {_bias([value - true for value, true in zip(values, truth, strict=True)], truth)}"
        for name, values in (
            ("naive", [figures.naive for figures in found]),
            ("weighted", [figures.weighted for figures in found]),
            ("ours", [figures.ours.value for figures in found]),
        )
    )
    return (
        f"{rate:.0%} of the wrong answers flagged: true accuracy {truth.mean():.3f}; {said}; "
        f"our interval holds it in {covered / len(found):.1%} [{low:.1%} to {high:.1%}] of {len(found)} worlds{missed}"
    )


def _bias(differences: Sequence[float], truth: np.ndarray) -> str:
    error = 1.96 * np.std(differences) / sqrt(len(differences))
    return f"{truth.mean() + np.mean(differences):.3f} (off by {np.mean(differences):+.3f} +- {error:.3f})"


if __name__ == "__main__":
    main()

"""Flagged rows teach and never measure: what they would do to the accuracy of a check, and that they do nothing."""

from dataclasses import dataclass, replace

import numpy as np

from monitor.check import run_check
from server.recording import decide_recording, lottery
from store.feedback import NewFeedback, add_feedback, labelled_rows
from store.predictions import NewPrediction, add_predictions
from tests.monitor.conftest import MakeWorld, World
from tests.monitor.traffic import LABELS, Source, as_predictions, draw

ROWS, ACCURACY, AUDIT_RATE = 4_000, 0.9, 0.08


@dataclass(frozen=True)
class Answer:
    row: NewPrediction
    truth: str

    @property
    def right(self) -> bool:
        return self.row.label == self.truth


def answered(world: World) -> list[Answer]:
    """Recorded, and drawn into the audit sample, as a server would do it."""
    drawn = draw(Source(), ROWS, world.rng)
    wrong = world.rng.random(ROWS) >= ACCURACY
    truth = (drawn.predicted + wrong * world.rng.integers(1, len(LABELS), ROWS)) % len(LABELS)
    rows = []
    for row in as_predictions(drawn, "tickets", 1, first_id=0, at=world.clock()):
        choice = decide_recording(lottery(row.id), row.score, sample_rate=1.0, audit_rate=AUDIT_RATE, low_score=0.0)
        rows.append(replace(row, audit=choice.audit if choice else None))
    with world.parts.database.write() as session:
        add_predictions(session, rows)
    return [Answer(row, LABELS[index]) for row, index in zip(rows, truth, strict=True)]


def review(world: World, answers: list[Answer]) -> None:
    with world.parts.database.write() as session:
        for answer in answers:
            verdict = NewFeedback(answer.row.id, "tickets", 1, answer.truth, None, None, None, "ann", "audit")
            add_feedback(session, verdict, now=world.clock())


def flag(world: World, answers: list[Answer]) -> None:
    with world.parts.database.write() as session:
        for answer in answers:
            label, correct = (None, True) if answer.right else (answer.truth, None)
            verdict = NewFeedback(answer.row.id, "tickets", 1, label, correct, None, None, "bob")
            add_feedback(session, verdict, now=world.clock())


def naive_accuracy(world: World) -> float:
    with world.parts.database.read() as session:
        rows = labelled_rows(session, "tickets")
    return float(np.mean([row.label == row.predicted for row in rows]))


def test_the_accuracy_of_a_check_stays_where_it_is_while_people_flag_what_is_wrong(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    answers = answered(world)
    truth = float(np.mean([answer.right for answer in answers]))
    wrong = [answer for answer in answers if not answer.right]
    right = [answer for answer in answers if answer.right]

    reviewed = [answer for answer in answers if answer.row.audit is not None]
    flag(world, wrong[::10])
    review(world, reviewed)
    flag(world, [answer for i, answer in enumerate(wrong) if i % 10 in (1, 2)] + right[::100])
    assert any(answer in reviewed for answer in wrong[1::10] + wrong[2::10]), "flags on reviewed rows are the hard case"
    ours = run_check(world.parts, "tickets").accuracy["labelled"]
    naive = naive_accuracy(world)
    told = f"true accuracy {truth:.3f}, naive {naive:.3f}, ours {ours}"
    assert ours["rows"] == len(reviewed), told
    assert ours["low"] <= truth <= ours["high"], told
    assert ours["high"] - ours["low"] < 0.1, told
    assert naive < ours["low"] - 0.1, told

    flag(world, wrong)
    assert run_check(world.parts, "tickets").accuracy["labelled"] == ours
    assert naive_accuracy(world) < naive - 0.1

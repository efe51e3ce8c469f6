"""Evaluation by the serving engine, on rows that taught nobody."""

import numpy as np

from retrain.dataset import Row
from retrain.evaluate import REFERENCE_MIN_ROWS, choose_reference, evaluate, hold_out
from tests.conftest import ImportedBase, MakeAdapter


def row(number: int, split: str, *, seq: int | None = None, label: str = "no") -> Row:
    return Row(text=f"text {number}", label=label, split=split, feedback_seq=seq, origin="audit" if seq else "seed")


def test_rows_are_sorted_by_what_they_may_decide() -> None:
    rows = [row(1, "train"), row(2, "test"), row(3, "test", seq=5), row(4, "test", seq=50), row(5, "validation")]
    held_out = hold_out(rows, new_after_seq=10)
    assert [r.text for r in held_out.old] == ["text 2", "text 3"]
    assert [r.text for r in held_out.new] == ["text 4"]
    assert [r.text for r in held_out.reference] == ["text 5"]


def test_a_first_version_has_no_new_rows() -> None:
    held_out = hold_out([row(1, "test", seq=5), row(2, "validation")], new_after_seq=None)
    assert (len(held_out.old), held_out.new) == (1, ())


def test_enough_new_rows_are_the_reference_alone() -> None:
    old = [row(n, "validation") for n in range(300)]
    new = [row(n, "validation" if n % 2 else "test", seq=1000 + n) for n in range(REFERENCE_MIN_ROWS)]
    assert choose_reference(old + new, new_after_seq=10) == new
    assert choose_reference(old + new[1:], new_after_seq=10) == old + [r for r in new[1:] if r.split == "validation"]


def test_candidate_and_production_answer_the_same_rows(tiny: ImportedBase, make_adapter: MakeAdapter) -> None:
    production, candidate = (make_adapter(tiny, labels=("no", "yes"), seed=seed) for seed in (1, 2))
    rows = [row(n, "test" if n % 2 else "validation", label="yes" if n % 3 else "no") for n in range(80)]
    evaluation = evaluate(
        tiny.bundle,
        hold_out(rows, new_after_seq=None),
        train=[row(900, "train", label="yes")],
        candidate=candidate,
        production=production,
        requires_improvement=True,
    )
    old = evaluation.gate.old
    assert old.rows == 40
    assert old.accuracies[1] == evaluation.summary["accuracy"] == np.mean(old.candidate_correct)
    assert old.accuracies[0] == evaluation.summary["old"]["production"]["accuracy"]
    assert old.majority_accuracy == np.mean([r.label == "yes" for r in rows if r.split == "test"])
    assert evaluation.reference.rows == 40
    assert evaluation.reference.probabilities.shape == (40, 2)


def test_a_class_that_the_version_does_not_know_is_marked(tiny: ImportedBase, make_adapter: MakeAdapter) -> None:
    rows = [row(n, split, label="maybe" if n == 0 else "no") for n in range(30) for split in ("test", "validation")]
    evaluation = evaluate(
        tiny.bundle,
        hold_out(rows, new_after_seq=None),
        train=[row(900, "train")],
        candidate=make_adapter(tiny, labels=("no", "yes")),
        production=None,
        requires_improvement=True,
    )
    assert evaluation.reference.true_label.tolist().count(-1) == 1
    assert evaluation.gate.first_version

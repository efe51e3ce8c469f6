"""Evaluation by the serving engine, on rows that taught nobody."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cli.demo.tickets import World, tickets
from engine.adapter import read_adapter
from engine.engine import Engine, Scored
from engine.precision import checks_to_json, judge
from retrain.baselines import Baseline
from retrain.dataset import Row
from retrain.evaluate import (
    REFERENCE_MIN_ROWS,
    Answers,
    Servable,
    Serving,
    check_precisions,
    choose_reference,
    compare_with_fp32,
    evaluate,
    hold_out,
    rows_to_check,
)
from store.errors import BadInput
from tests.adapters import set_head
from tests.conftest import ImportedBase, MakeAdapter


def row(number: int, split: str, *, seq: int | None = None, label: str = "no") -> Row:
    return Row(text=f"text {number}", label=label, split=split, feedback_seq=seq, origin="audit" if seq else "seed")


def test_rows_are_sorted_by_what_they_may_decide() -> None:
    rows = [row(1, "train"), row(2, "test"), row(3, "test", seq=5), row(4, "test", seq=50), row(5, "validation")]
    held_out = hold_out(rows, new_after_seq=10)
    assert [r.text for r in held_out.old] == ["text 2", "text 3"]
    assert [r.text for r in held_out.new] == ["text 4"]
    assert [r.text for r in held_out.reference] == ["text 5"]
    assert [r.text for r in held_out.every] == ["text 2", "text 3", "text 4", "text 5"]


def test_a_first_version_has_no_new_rows() -> None:
    held_out = hold_out([row(1, "test", seq=5), row(2, "validation")], new_after_seq=None)
    assert (len(held_out.old), held_out.new) == (1, ())


def test_enough_new_rows_are_the_reference_alone() -> None:
    old = [row(n, "validation") for n in range(300)]
    new = [row(n, "validation" if n % 2 else "test", seq=1000 + n) for n in range(REFERENCE_MIN_ROWS)]
    assert choose_reference(old + new, new_after_seq=10) == new
    assert choose_reference(old + new[1:], new_after_seq=10) == old + [r for r in new[1:] if r.split == "validation"]


def test_candidate_and_production_answer_the_same_rows(
    tiny: ImportedBase, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    production, candidate = (make_adapter(tiny, labels=("no", "yes"), seed=seed) for seed in (1, 2))
    rows = [row(n, "test" if n % 2 else "validation", label="yes" if n % 3 else "no") for n in range(80)]
    evaluation = evaluate(
        tiny.bundle,
        hold_out(rows, new_after_seq=None),
        train=[row(900, "train", label="yes")],
        candidate=Servable(tiny.bundle, candidate),
        production=Servable(tiny.bundle, production),
        requires_improvement=True,
        serving=Serving(),
        features=tmp_path,
    )
    old = evaluation.gate.old
    assert old.rows == 40
    assert old.accuracies[1] == evaluation.summary["accuracy"] == np.mean(old.candidate_correct)
    assert old.accuracies[0] == evaluation.summary["old"]["production"]["accuracy"]
    assert old.majority_accuracy == np.mean([r.label == "yes" for r in rows if r.split == "test"])
    assert evaluation.reference.rows == 40
    assert evaluation.reference.probabilities.shape == (40, 2)


def test_an_evaluation_reports_baselines_changed_texts_and_what_serving_costs(
    tiny: ImportedBase, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    production, candidate = (make_adapter(tiny, labels=("no", "yes"), seed=seed) for seed in (1, 2))
    splits = ["train"] * 3 + ["validation", "test"]
    rows = [row(n, splits[n % 5], label="yes" if n % 2 else "no") for n in range(150)]
    scratch = Baseline("scratch", "from random weights", ("no",) * 30)
    heard: list[float] = []
    found = evaluate(
        tiny.bundle,
        hold_out(rows, new_after_seq=None),
        train=[r for r in rows if r.split == "train"],
        candidate=Servable(tiny.bundle, candidate),
        production=Servable(tiny.bundle, production),
        requires_improvement=True,
        serving=Serving(provider="cpu"),
        features=tmp_path / "features",
        others=[scratch],
        progress=heard.append,
    )
    report = found.report
    assert report["rows"] == {"train": 90, "validation": 30, "test": 30, "new": 0}
    assert [one["name"] for one in report["systems"]] == [
        "version", "production", "majority", "heuristic", "tfidf", "frozen", "scratch"
    ]  # fmt: skip
    assert report["systems"][0]["accuracy"]["value"] == found.summary["accuracy"]
    assert report["systems"][1]["accuracy"]["value"] == found.summary["old"]["production"]["accuracy"]
    assert found.summary["baselines"]["scratch"]["accuracy"] == 0.5
    unseen = {one["name"]: one["changed"] for one in report["robustness"]["changes"]}
    assert unseen["upper_case"] == 0, "the tokenizer of this base folds case"
    served = report["served"]
    assert (served["precision"], served["provider"]) == (found.summary["reference_precision"], "cpu")
    assert 0 < served["single_p50_s"] <= served["single_p95_s"]
    assert served["adapter_bytes"] == tiny.spec.slot_bytes
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 1, "features are asked for as one list"
    json.dumps(report, allow_nan=False)


def test_a_class_that_the_version_does_not_know_is_marked(
    tiny: ImportedBase, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    rows = [row(n, split, label="maybe" if n == 0 else "no") for n in range(30) for split in ("test", "validation")]
    evaluation = evaluate(
        tiny.bundle,
        hold_out(rows, new_after_seq=None),
        train=[row(900, "train")],
        candidate=Servable(tiny.bundle, make_adapter(tiny, labels=("no", "yes"))),
        production=None,
        requires_improvement=True,
        serving=Serving(),
        features=tmp_path,
    )
    assert evaluation.reference.true_label.tolist().count(-1) == 1
    assert evaluation.gate.first_version


ROWS = 1600
TEXTS = [ticket.text for ticket in tickets(World.BEFORE, ROWS, seed=3)]


@pytest.fixture(scope="module")
def pooled(tiny: ImportedBase) -> NDArray[np.float32]:
    """What the frozen base makes of TEXTS, in fp32: [texts, hidden]."""
    engine = Engine(tiny.bundle, slots=2, lanes=1)
    rows = engine.modality.encode(TEXTS, truncate=True)
    return np.concatenate([engine.run([row], [0]).pooled for row in rows])


@pytest.fixture
def split_at(
    tiny: ImportedBase, make_adapter: MakeAdapter, pooled: NDArray[np.float32]
) -> Callable[[int], tuple[Path, list[Row]]]:
    """An adapter that says `yes` above the median of a principal component, and rows with the labels fp32 answers."""

    def make(component: int) -> tuple[Path, list[Row]]:
        folder = make_adapter(tiny, labels=("no", "yes"), scale=0.0)
        _, _, directions = np.linalg.svd(pooled - pooled.mean(axis=0), full_matrices=False)
        along = pooled @ directions[component]
        weight = np.stack([-directions[component], directions[component]]) * 10
        set_head(folder, weight=weight, bias=np.array([1, -1]) * np.median(along) * 10)
        engine = Engine(tiny.bundle, slots=2, lanes=1)
        engine.bank.load("a", read_adapter(folder, tiny.spec))
        answers = engine.score(TEXTS, "a", labels=2).probabilities.argmax(axis=1)
        return folder, [Row(text=t, label=("no", "yes")[a]) for t, a in zip(TEXTS, answers, strict=True)]

    return make


def test_a_version_whose_labels_hang_on_the_least_difference_of_texts_is_refused_int8(tiny, split_at) -> None:
    folder, rows = split_at(-1)
    check = check_precisions(tiny.bundle, folder, rows)["int8"]
    verdict = judge(check, 0.005)
    print(verdict.why)
    assert (check.rows, check.gained) == (ROWS, 0)
    assert check.loss > 0.02
    assert not verdict.allowed
    assert not judge(check, 0.02).allowed
    assert f"int8 lost {check.lost} and gained 0 of {ROWS:,} rows" in verdict.why
    assert "on these rows alone it lost" in verdict.why


def test_a_version_whose_labels_lie_far_apart_keeps_them_in_int8(tiny, split_at, pooled) -> None:
    folder, rows = split_at(0)
    _, _, directions = np.linalg.svd(pooled - pooled.mean(axis=0), full_matrices=False)
    along = pooled @ directions[0]
    far = np.abs(along - np.median(along)) > 0.7 * along.std()
    clear = [row for row, is_far in zip(rows, far, strict=True) if is_far]
    assert len(clear) > 640
    verdict = judge(check_precisions(tiny.bundle, folder, clear)["int8"], 0.02)  # random weights are noisy
    assert verdict.allowed, verdict.why


def test_an_evaluation_checks_every_held_out_row_and_scores_the_reference_as_it_will_be_served(
    tiny, split_at, tmp_path
) -> None:
    folder, rows = split_at(-1)
    placed = [Row(r.text, r.label, split=("validation", "test")[i % 2]) for i, r in enumerate(rows)]
    speeds = {"fp32": 100.0, "int8": 250.0}

    def reference(max_loss: float):
        found = evaluate(
            tiny.bundle,
            hold_out(placed, new_after_seq=None),
            train=rows[:10],
            candidate=Servable(tiny.bundle, folder),
            production=None,
            requires_improvement=True,
            serving=Serving(max_loss=max_loss, speeds=speeds),
            features=tmp_path,
        )
        return found.summary, found.reference

    strict, plain = reference(0.005)
    assert strict["precision"] == checks_to_json(check_precisions(tiny.bundle, folder, placed))
    assert strict["precision"]["int8"]["rows"] == ROWS
    assert (strict["reference_precision"], plain.accuracy) == ("fp32", 1.0)
    lax, rounded = reference(0.9)
    assert lax["reference_precision"] == "int8"
    assert lax["accuracy"] == strict["accuracy"] == 1.0, "the gate compares in fp32"
    assert rounded.accuracy < 1.0
    assert rounded.rows == plain.rows == ROWS // 2


def test_an_answer_that_overflows_is_lost_in_every_precision() -> None:
    rows = (Row("a", "no"), Row("b", "yes"), Row("c", "no"))

    def answers(*shares: tuple[float, float]) -> Answers:
        ones = np.ones(3, np.int64)
        probabilities = np.array(shares, np.float32)
        return Answers(("no", "yes"), rows, Scored(probabilities, np.zeros((3, 2), np.float32), ones, ones, ones))

    nan = float("nan")
    plain = answers((nan, nan), (0.9, 0.1), (0.9, 0.1))
    rounded = answers((nan, nan), (0.1, 0.9), (nan, nan))
    check = compare_with_fp32({"fp32": plain, "int8": rounded})["int8"]
    assert (check.rows, check.lost, check.gained) == (3, 2, 1)


def test_a_text_checks_once_and_not_where_it_trained() -> None:
    rows = [Row("Where is it?", "no"), Row("where  is it?", "no"), Row("money back", "yes"), Row("hello", "maybe")]
    assert rows_to_check(rows, labels=("no", "yes"), trained={"money back"}) == [rows[0], rows[3]]
    with pytest.raises(BadInput, match="the file has maybe, no, yes, the version on, off"):
        rows_to_check(rows, labels=("on", "off"))
    with pytest.raises(BadInput, match="every row of the file trained the version"):
        rows_to_check(rows[:1], labels=("no", "yes"), trained={"where is it?"})

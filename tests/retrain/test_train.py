"""Trainings of every strategy on a real, small backbone: what learns, what is left, what is served."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from safetensors.numpy import load_file

from engine.adapter import read_adapter
from engine.base import read_spec
from engine.engine import Engine
from retrain.backbone import PooledClassifier, load_backbone
from retrain.dataset import Row
from retrain.features import FeatureCache
from retrain.fitting import collate, encode
from retrain.strategy import Strategy, plan_training
from retrain.train import Start, TrainingData, train_version
from retrain.trained import Trained
from retrain.tuned_base import export_tuned
from store.artifacts import ArtifactStore
from store.errors import Refused
from tests.conftest import ImportedBase
from tests.e2e.plain_letters import MATTERS, plain_letters

LABELS = tuple(sorted(MATTERS))
LETTERS = [Row(text, label) for text, label in plain_letters(750, seed=5)]
DATA = TrainingData(LETTERS[:600], LETTERS[600:], LABELS)
Told = list[tuple[int, float, Mapping[str, float]]]


@pytest.fixture(scope="module")
def engine(tiny: ImportedBase) -> Engine:
    return Engine(tiny.bundle, slots=2, lanes=1)


Train = Callable[..., tuple[Trained, Told]]


@pytest.fixture
def train(tiny: ImportedBase, engine: Engine, tmp_path: Path, artifacts: ArtifactStore) -> Train:
    """Trains on letters that a small backbone can learn; returns what is left and what was told on the way."""

    def run(
        strategy: Strategy,
        *,
        work: str = "work",
        start: Start | None = None,
        epochs: int = 3,
        end_at: float = inf,
        data: TrainingData = DATA,
        **overrides: Any,
    ) -> tuple[Trained, Told]:
        told: Told = []

        def on_step(step: int, share: float, figures: Mapping[str, float]) -> None:
            if share > end_at:
                raise InterruptedError
            told.append((step, share, figures))

        plan = plan_training(tiny.spec, strategy, overrides, rows=len(data.train), epochs=epochs, seed=3)
        trained = train_version(
            artifacts.fetch(tiny.spec.backbone_artifact),
            tiny.spec,
            plan,
            data,
            features=FeatureCache(tmp_path / "features", engine).of,
            start=start,
            work=tmp_path / work,
            on_step=on_step,
        )
        return trained, told

    return run


def served(engine: Engine, adapter: Path, rows: Sequence[Row]) -> NDArray[np.float32]:
    """Probabilities [rows, classes] as a server would answer."""
    packed = read_adapter(adapter, engine.spec)
    engine.bank.load(str(adapter), packed)
    return engine.score([row.text for row in rows], str(adapter), labels=len(packed.labels)).probabilities


def accuracy(probabilities: NDArray[np.float32], rows: Sequence[Row]) -> float:
    return float(np.mean([LABELS[i] == row.label for i, row in zip(probabilities.argmax(axis=1), rows, strict=True)]))


@pytest.mark.parametrize(("strategy", "least"), [("head", 0.3), ("lora", 0.4)])
def test_what_shares_the_bases_graph_serves_what_it_validated(
    strategy: Strategy, least: float, train: Train, engine: Engine
) -> None:
    trained, _ = train(strategy, epochs=6)
    assert trained.backbone is None
    right = accuracy(served(engine, trained.adapter, DATA.validation), DATA.validation)
    assert right == pytest.approx(trained.figures.validation_accuracy, abs=1e-6)
    assert right > least, "four classes, so guessing reaches 0.25"


@pytest.mark.parametrize("strategy", ["partial", "full", "scratch"])
def test_a_tuned_backbone_serves_from_a_graph_of_its_own_what_it_validated(
    strategy: Strategy, train: Train, tiny: ImportedBase, artifacts: ArtifactStore
) -> None:
    trained, _ = train(strategy, tuned_layers=1)
    assert trained.backbone is not None
    spec, key = export_tuned(trained.backbone, tiny.spec, artifacts, name="own", labels=len(LABELS))
    own = Engine(artifacts.fetch(key), slots=2, lanes=1)
    assert read_spec(own.bundle) == spec
    probabilities = served(own, trained.adapter, DATA.validation)
    assert accuracy(probabilities, DATA.validation) == pytest.approx(trained.figures.validation_accuracy, abs=1e-6)
    assert_allclose(probabilities, in_torch(trained, tiny, DATA.validation), atol=1e-4)


def in_torch(trained: Trained, tiny: ImportedBase, rows: Sequence[Row]) -> NDArray[np.float32]:
    assert trained.backbone is not None
    model = PooledClassifier(load_backbone(trained.backbone), tiny.spec.pooling, len(LABELS)).eval()
    head = load_file(trained.adapter / "adapter_model.safetensors")
    model.classifier.weight.data = torch.tensor(head["base_model.model.classifier.weight"])
    model.classifier.bias.data = torch.tensor(head["base_model.model.classifier.bias"])
    encoded = encode(trained.backbone / "tokenizer.json", rows, LABELS, max_tokens=tiny.spec.max_tokens)
    with torch.no_grad():
        logits = model(**collate(encoded, tiny.spec.pad_token_id)).logits
    return np.asarray(torch.softmax(logits, dim=-1).numpy())


def changed(trained: Trained, tiny: ImportedBase) -> set[str]:
    """Tensors of the backbone that are not what they were."""
    assert trained.backbone is not None
    before = load_file(tiny.source / "model.safetensors")
    after = load_file(trained.backbone / "model.safetensors")
    assert before.keys() == after.keys()
    return {name for name, value in after.items() if not np.array_equal(value, before[name])}


def test_partial_changes_the_top_layers_and_nothing_else(train: Train, tiny: ImportedBase) -> None:
    trained, _ = train("partial", tuned_layers=1, epochs=1)
    names = changed(trained, tiny)
    assert any("layer.1." in name for name in names)
    assert not [name for name in names if "layer.0." in name or "embeddings" in name]


def test_full_changes_every_layer(train: Train, tiny: ImportedBase) -> None:
    trained, _ = train("full", epochs=1)
    names = changed(trained, tiny)
    for part in ("embeddings.word", "layer.0.", "layer.1."):
        assert any(part in name for name in names), part


def test_trainable_parameters_are_counted_by_strategy(train: Train, tiny: ImportedBase) -> None:
    counted = {
        strategy: train(strategy, work=strategy, epochs=1)[0].figures.trainable_parameters
        for strategy in ("head", "lora", "full")
    }
    head = (tiny.spec.hidden + 1) * len(LABELS)
    rank = 8
    lora = sum((layer.d_in + layer.d_out) * rank for layer in tiny.spec.layers)
    assert counted == {"head": head, "lora": head + lora, "full": head + tiny.spec.parameters}


def test_a_finished_training_is_not_trained_again(train: Train) -> None:
    first, told = train("lora", epochs=1)
    again, told_again = train("lora", epochs=1)
    assert (first, bool(told), told_again) == (again, True, [])


def test_progress_rises_to_the_end_whatever_is_raced(train: Train) -> None:
    first, told = train("lora", work="first")
    shares = [share for _, share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    _, raced = train("lora", work="second", start=Start(first.adapter))
    shares = [share for _, share, _ in raced]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_a_retraining_goes_on_from_production_where_that_validates_better(train: Train) -> None:
    first, _ = train("lora", work="first", epochs=6)
    second, told = train("lora", work="second", epochs=2, start=Start(first.adapter))
    assert second.figures.started_from == "production"
    assert second.figures.validation_loss <= first.figures.validation_loss + 0.05
    curve = [step for step, _, figures in told if "eval_loss" in figures]
    assert curve == sorted(set(curve)), "the curve of the start that lost is mixed in"


def test_a_retraining_starts_anew_where_production_was_ruined(train: Train, tmp_path: Path) -> None:
    first, _ = train("lora", work="first", epochs=6)
    ruined = tmp_path / "ruined"
    ruined.mkdir()
    from safetensors.numpy import save_file

    for file in first.adapter.iterdir():
        (ruined / file.name).write_bytes(file.read_bytes())
    weights = load_file(first.adapter / "adapter_model.safetensors")
    save_file({name: -20 * value for name, value in weights.items()}, ruined / "adapter_model.safetensors")
    second, _ = train("lora", work="second", epochs=2, start=Start(ruined))
    assert second.figures.started_from == "pretrained"


@pytest.mark.parametrize("share", [0.3, 0.45, 0.8])
def test_a_retraining_that_was_cut_off_ends_as_if_it_had_not_been(share: float, train: Train, tmp_path: Path) -> None:
    """share: of the whole, at which it ends: while the second start is raced, just after the race, and later."""
    first, _ = train("lora", work="first", epochs=2)
    start = Start(first.adapter)
    whole, told = train("lora", work="whole", epochs=4, start=start)
    with pytest.raises(InterruptedError):
        train("lora", work="cut", epochs=4, start=start, end_at=share)
    again, told_again = train("lora", work="cut", epochs=4, start=start)
    assert again.weights[0].read_bytes() == whole.weights[0].read_bytes()
    assert again.figures == whole.figures
    lost = [
        sorted(p.name for p in (tmp_path / work / "checkpoints/from-pretrained").iterdir()) for work in ("whole", "cut")
    ]
    assert lost[0] == lost[1], "the start that lost its race was trained on"
    assert share > 0.4 or curve(told_again) == curve(told), "what was raced before the cut is told nowhere"


def curve(told: Told) -> dict[int, float]:
    """Validation loss by step."""
    return {step: figures["eval_loss"] for step, _, figures in told if "eval_loss" in figures}


def test_a_training_that_was_cut_off_after_its_last_epoch_still_keeps_its_best(train: Train, tmp_path: Path) -> None:
    options = {"data": replace(DATA, train=mislabelled(DATA.train)), "epochs": 8, "patience": 2}
    whole, told = train("lora", work="whole", **options)
    losses = list(curve(told).values())
    assert min(losses) < losses[-1], "the best epoch must not be the last, or this shows nothing"
    weights = whole.weights[0].read_bytes()
    shutil.rmtree(tmp_path / "whole" / "trained")
    (tmp_path / "whole").rename(tmp_path / "taken over")
    again, told = train("lora", work="taken over", **options)
    assert (again.weights[0].read_bytes(), again.figures) == (weights, whole.figures)
    assert told == [], "nothing was left to train"


def test_a_training_that_diverges_says_so(train: Train) -> None:
    with pytest.raises(Refused, match=r"diverged at step \d+: .* is nan; take a smaller learning_rate"):
        train("lora", data=replace(DATA, weights=[float("nan")] * len(DATA.train)))


def mislabelled(rows: Sequence[Row]) -> list[Row]:
    return [replace(row, label=LABELS[(LABELS.index(row.label) + 1) % len(LABELS)]) for row in rows]


def test_rows_that_are_not_in_memory_together_make_the_same_steps_of_the_same_loss(train: Train) -> None:
    together, parted = (train("lora", work=f"{rows}", rows_at_once=rows, epochs=1)[1] for rows in (None, 4))
    losses = [[figures["loss"] for _, _, figures in told if "loss" in figures] for told in (together, parted)]
    assert [step for step, _, _ in parted][-1] == [step for step, _, _ in together][-1] == 38
    assert_allclose(losses[0], losses[1], rtol=0.1)


@pytest.mark.parametrize("other", [{"rank": 4}, {"alpha": 32}, {"rslora": True}, {"targets": ["query"]}])
def test_what_would_mean_something_else_here_cannot_go_on_from_production(other: dict[str, Any], train: Train) -> None:
    first, _ = train("lora", work="first", epochs=1)
    second, _ = train("lora", work="second", epochs=1, start=Start(first.adapter), **other)
    assert second.figures.started_from == "pretrained"


def test_a_full_retraining_goes_on_from_the_tuned_backbone(train: Train) -> None:
    first, _ = train("full", work="first", epochs=4)
    second, _ = train("full", work="second", epochs=1, start=Start(first.adapter, first.backbone))
    assert second.figures.started_from == "production"
    assert second.figures.validation_loss <= first.figures.validation_loss + 0.05


def test_a_stage_that_does_not_help_is_taken_back(train: Train, tiny: ImportedBase) -> None:
    trained, told = train("full", gradual=True, epochs=8, learning_rate=0.9)  # any step of the backbone ruins it
    steps = [step for step, _, figures in told if "eval_loss" in figures]
    assert steps == sorted(set(steps)), "a stage's curve lies over that of another"
    assert changed(trained, tiny) == set()
    assert trained.figures.trainable_parameters == (tiny.spec.hidden + 1) * len(LABELS)


def test_rows_that_count_nothing_teach_nothing(
    tiny: ImportedBase, engine: Engine, tmp_path: Path, artifacts: ArtifactStore
) -> None:
    wrong = mislabelled(DATA.train)
    data = replace(DATA, train=[*DATA.train, *wrong], weights=[1.0] * len(DATA.train) + [0.0] * len(wrong))
    answers = [
        served(
            engine,
            train_version(
                artifacts.fetch(tiny.spec.backbone_artifact),
                tiny.spec,
                plan_training(tiny.spec, "head", {}, rows=len(taught.train), epochs=1, seed=3),
                taught,
                features=FeatureCache(tmp_path / "features", engine).of,
                start=None,
                work=tmp_path / name,
                on_step=lambda step, share, figures: None,
            ).adapter,
            DATA.validation,
        )
        for name, taught in (("without", DATA), ("with", data))
    ]
    assert_allclose(answers[0], answers[1], atol=0.02)


def test_between_epochs_the_validation_loss_is_glanced_at(train: Train) -> None:
    _, told = train("lora", epochs=1, validate_steps=7)
    glances = [step for step, _, figures in told if "validation_loss" in figures]
    assert glances == list(range(7, 38, 7))

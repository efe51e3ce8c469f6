"""What each strategy reaches, on what share of the parameters, in what time and memory.

CLINC150 (its own splits, in scope: 150 classes) and SNIPS (7 classes, split anew 70/15/15 as its own test has 700
rows). Each strategy is trained by the product's own trainer in a process of its own, one after the other, on the same
rows and the same validation; test rows are answered by the serving engine.
"""

import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frame import at_least, at_most, claim_line, options, quiet_logs, tell
from benchmarks.precision import DATA
from benchmarks.stage import build_base, machine, opened
from engine.adapter import read_adapter
from engine.base import BaseSpec, read_spec
from engine.engine import Engine
from retrain.dataset import Row, read_rows
from retrain.features import FeatureCache
from retrain.scores import wilson_interval
from retrain.split import split_rows
from retrain.strategy import plan_training
from store.bases import get_base

STRATEGIES = ("tfidf", "head", "scratch", "lora", "partial", "full")
EPOCHS = 5


@dataclass(frozen=True, slots=True)
class Rows:
    train: list[Row]
    validation: list[Row]
    test: list[Row]


@dataclass(frozen=True, slots=True)
class Result:
    strategy: str
    right: list[bool]
    """Of each test row."""
    validation_accuracy: float
    trainable: int
    total: int
    seconds: float
    """Of the training alone."""
    peak_bytes: int
    """Of the process, at its largest."""

    @property
    def accuracy(self) -> float:
        return sum(self.right) / len(self.right)


def main() -> None:
    parser = options("strategies", __doc__)
    parser.add_argument("--sets", default="clinc150,snips")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the plan")
    parser.add_argument("--one", nargs=4, metavar=("SET", "STRATEGY", "HOME", "OUT"), help="for its own processes")
    asked = parser.parse_args()
    overrides = {name: json.loads(value) for name, _, value in (part.partition("=") for part in asked.set)}
    if asked.one:
        name, strategy, home, out = asked.one
        Path(out).write_text(json.dumps(asdict(_carry_out(name, strategy, Path(home), asked.epochs, overrides))))
        return
    tell(machine())
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        build_base(home)
        for name in asked.sets.split(","):
            results: dict[str, Result] = {}
            for strategy in asked.strategies.split(","):
                results[strategy] = _apart(name, strategy, home, asked.epochs, asked.set)
                tell(_line(name, results[strategy]))
            _tell_claims(name, results)


def rows_of(name: str) -> Rows:
    """Raises FileNotFoundError where the data is not at hand."""
    if name == "clinc150":
        with gzip.open(DATA / "clinc150.json.gz", "rt") as file:
            splits: dict[str, list[tuple[str, str]]] = json.load(file)
        return Rows(*([Row(text, label) for text, label in splits[split]] for split in ("train", "val", "test")))
    rows = split_rows(read_rows(DATA / "snips.csv.gz", label_column="intent"), seed=0)
    return Rows(*([row for row in rows if row.split == split] for split in ("train", "validation", "test")))


def _apart(name: str, strategy: str, home: Path, epochs: int, overrides: Sequence[str]) -> Result:
    """In a process of its own: its memory is then that of this strategy alone."""
    out = home / f"{name}-{strategy}.json"
    command = [sys.executable, "-m", "benchmarks.strategies", "--one", name, strategy, str(home), str(out)]
    command += ["--epochs", str(epochs), *(part for value in overrides for part in ("--set", value))]
    subprocess.run(command, check=True)
    return Result(**json.loads(out.read_text()))


def _carry_out(name: str, strategy: str, home: Path, epochs: int, overrides: Mapping[str, Any]) -> Result:
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_WAIT_POLICY="PASSIVE")
    from cli.quiet import quiet_libraries

    quiet_libraries()
    quiet_logs()
    rows = rows_of(name)
    if strategy == "tfidf":
        return _tfidf(rows)
    with opened(home) as store:
        with store.database.read() as session:
            bundle = store.artifacts.fetch(get_base(session, "minilm").artifact)
        spec = read_spec(bundle)
        return _train(rows, strategy, spec, bundle, store.artifacts, home, epochs, overrides)


def _train(
    rows: Rows,
    strategy: str,
    spec: BaseSpec,
    bundle: Path,
    artifacts: Any,
    home: Path,
    epochs: int,
    overrides: Mapping[str, Any],
) -> Result:
    from retrain.train import TrainingData, train_version
    from retrain.tuned_base import export_tuned

    labels = tuple(sorted({row.label for row in rows.train}))
    engine = Engine(bundle, slots=2)
    plan = plan_training(spec, strategy, overrides, rows=len(rows.train), epochs=epochs, seed=0)
    with tempfile.TemporaryDirectory(dir=home) as work:
        began = time.monotonic()
        trained = train_version(
            artifacts.fetch(spec.backbone_artifact),
            spec,
            plan,
            TrainingData(rows.train, rows.validation, labels),
            features=FeatureCache(Path(work, "features"), engine).of,
            start=None,
            work=Path(work),
            on_step=lambda step, share, figures: None,
        )
        seconds = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if trained.backbone is not None:
            _, key = export_tuned(trained.backbone, spec, artifacts, name=strategy, labels=len(labels))
            engine = Engine(artifacts.fetch(key), slots=2)
        engine.bank.load("trained", read_adapter(trained.adapter, engine.spec))
        scored = engine.score([row.text for row in rows.test], "trained", labels=len(labels))
    answers = [labels[i] for i in scored.probabilities.argmax(axis=1)]
    return Result(
        strategy=strategy,
        right=[answer == row.label for answer, row in zip(answers, rows.test, strict=True)],
        validation_accuracy=trained.figures.validation_accuracy,
        trainable=trained.figures.trainable_parameters,
        total=spec.parameters,
        seconds=seconds,
        peak_bytes=peak,
    )


def _tfidf(rows: Rows) -> Result:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    began = time.monotonic()
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=300, tol=1e-3)
    ).fit([row.text for row in rows.train], [row.label for row in rows.train])
    seconds = time.monotonic() - began
    accuracy = model.score([row.text for row in rows.validation], [row.label for row in rows.validation])
    answers = model.predict([row.text for row in rows.test])
    return Result(
        strategy="tfidf",
        right=[bool(answer == row.label) for answer, row in zip(answers, rows.test, strict=True)],
        validation_accuracy=float(accuracy),
        trainable=int(model[-1].coef_.size),
        total=int(model[-1].coef_.size),
        seconds=seconds,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _line(name: str, result: Result) -> str:
    low, high = wilson_interval(sum(result.right), len(result.right))
    return (
        f"{name}, {result.strategy}: test accuracy {result.accuracy:.4f} [{low:.4f} to {high:.4f}] of "
        f"{len(result.right):,} rows, validation {result.validation_accuracy:.4f}; {result.trainable:,} parameters "
        f"({result.trainable / result.total:.2%} of the base); {result.seconds:,.0f} s; "
        f"{result.peak_bytes / 2**20:,.0f} MiB"
    )


def _tell_claims(name: str, results: Mapping[str, Result]) -> None:
    if not {"lora", "full"} <= results.keys():
        return
    lora, full = results["lora"], results["full"]
    tell(claim_line(f"{name}: accuracy of lora over that of full", [lora.accuracy / full.accuracy], at_least(0.995)))
    tell(claim_line(f"{name}: parameters of lora over those of full", [lora.trainable / full.trainable], at_most(0.01)))
    tell(claim_line(f"{name}: time of lora over that of full", [lora.seconds / full.seconds], at_most(0.6)))
    for tuned in (lora, full):
        for other in ("head", "tfidf", "scratch"):
            if other in results:
                low, high = _difference(tuned.right, results[other].right)
                tell(f"{name}: {tuned.strategy} beats {other} by {low:+.4f} to {high:+.4f}")
    if name == "clinc150":
        tell(claim_line("clinc150: test accuracy of lora", [lora.accuracy], at_least(0.965)))


def _difference(first: Sequence[bool], second: Sequence[bool]) -> tuple[float, float]:
    """95 % bootstrap interval of the difference on the same rows."""
    paired = np.array(first, np.float64) - np.array(second, np.float64)
    generator = np.random.default_rng(0)
    means = [paired[generator.integers(0, len(paired), len(paired))].mean() for _ in range(2_000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()

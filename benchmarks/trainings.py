"""One training by the product's own trainer, in a process of its own, and what it answers to rows that it never saw.

CLINC150 comes with its own splits (in scope: 150 classes) and is near to what MiniLM knows. SNIPS (7 classes) is split
anew, 70/15/15 without near copies in two splits, as its own test has 700 rows. GoEmotions (single Ekman label, 7
classes) is far; 3,000 of its rows are drawn to measure.
"""

import gzip
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frame import quiet_logs
from benchmarks.precision import DATA
from benchmarks.public_data import featured, unique_rows
from benchmarks.stage import Store, opened
from engine.adapter import read_adapter
from engine.base import read_spec
from engine.cores import usable_cores
from engine.engine import Engine
from retrain.dataset import Row, read_rows
from retrain.split import split_rows
from store.bases import get_base

TFIDF = "tfidf"
"""A strategy here: the baseline that needs no pretrained model."""
AUTO = "auto"
_TEST_ROWS = 3_000
"""Of a set without splits of its own."""
_TRAIN_SHARE, _VALIDATION_SHARE = 0.70, 0.15
"""Of the labelled rows that somebody brings; the rest would be that person's test rows."""


@dataclass(frozen=True, slots=True)
class Job:
    data: str
    """`clinc150`, `snips` or `goemotions`."""
    strategy: str
    """One of the trainer's, AUTO or TFIDF."""
    rows: int | None = None
    """Labelled rows that somebody brings, drawn from the set; None for all of its training and validation rows."""
    seed: int = 0
    """Of the rows that are drawn, and of the training."""
    epochs: int | None = None
    """At most; None for as many as the recipe says."""
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Result:
    trained: str
    """The strategy; of AUTO the one that it chose."""
    right: list[bool]
    """Of each test row."""
    validation_accuracy: float
    trainable: int
    total: int
    seconds: float
    """From rows to trained weights, choosing included; without the start of the process."""
    peak_bytes: int
    """Of the process, at its largest."""

    @property
    def accuracy(self) -> float:
        return sum(self.right) / len(self.right)


@dataclass(frozen=True, slots=True)
class Rows:
    train: list[Row]
    validation: list[Row]
    test: list[Row]

    @property
    def labels(self) -> tuple[str, ...]:
        """What a training on them can answer."""
        return tuple(sorted({row.label for row in self.train}))


def train_apart(job: Job, home: Path, *, keep: Path | None = None) -> Result:
    """Train in a process of its own, so that its memory is that of this training alone.

    home: with the base `minilm`. keep: folder of results; one that lies there is not made again.
    """
    out = (keep or home) / f"{job.data}-{job.rows or 'all'}-{job.strategy}-{job.digest}.json"
    if keep is None or not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        asked = json.dumps(asdict(job))
        subprocess.run([sys.executable, "-m", "benchmarks.trainings", asked, str(home), str(out)], check=True)
    return Result(**json.loads(out.read_text()))


def difference(first: Sequence[bool], second: Sequence[bool]) -> tuple[float, float]:
    """95 % bootstrap interval of the difference in accuracy, on the same rows."""
    paired = np.array(first, np.float64) - np.array(second, np.float64)
    generator = np.random.default_rng(0)
    means = [paired[generator.integers(0, len(paired), len(paired))].mean() for _ in range(2_000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def claim(name: str, value: float, *, least: float = -inf, most: float = inf) -> str:
    """A line that says whether a promise was kept."""
    promised = f"at least {least:g}" if isfinite(least) else f"at most {most:g}"
    return f"{name}: {value:.4f} (promised {promised}{'' if least <= value <= most else ', MISSED'})"


def rows_of(name: str, *, count: int | None = None, seed: int = 0) -> Rows:
    """count: labelled rows that somebody brings, of which 70 % teach and 15 % validate. The test rows are always all.

    Raises FileNotFoundError where the data is not at hand.
    """
    whole = _SETS[name]()
    if count is None:
        return whole
    train = draw(whole.train, round(count * _TRAIN_SHARE), seed)
    known = {row.label for row in train}
    validation = draw(whole.validation, round(count * _VALIDATION_SHARE), seed)
    return Rows(train, [row for row in validation if row.label in known], whole.test)


def clinc150_splits() -> dict[str, list[tuple[str, str]]]:
    """`train`, `val`, `test` and what is out of scope: pairs of text and intent."""
    with gzip.open(DATA / "clinc150.json.gz", "rt") as file:
        splits: dict[str, list[tuple[str, str]]] = json.load(file)
    return splits


def _clinc150() -> Rows:
    splits = clinc150_splits()
    return Rows(*([Row(text, label) for text, label in splits[split]] for split in ("train", "val", "test")))


def _snips() -> Rows:
    rows = split_rows(read_rows(DATA / "snips.csv.gz", label_column="intent"), seed=0)
    return Rows(*([row for row in rows if row.split == split] for split in ("train", "validation", "test")))


def _goemotions() -> Rows:
    data = featured("goemotions")
    entries = [data.entries[place] for place in np.random.default_rng(0).permutation(unique_rows(data))]
    rows = [Row(entry.text, entry.label) for entry in entries]
    validation = len(rows) // 7
    return Rows(rows[_TEST_ROWS + validation :], rows[_TEST_ROWS : _TEST_ROWS + validation], rows[:_TEST_ROWS])


_SETS = {"clinc150": _clinc150, "snips": _snips, "goemotions": _goemotions}


def draw(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """At random, with every label's share as near as whole rows allow."""
    members: dict[str, list[Row]] = {}
    for place in np.random.default_rng(seed).permutation(len(rows)):
        members.setdefault(rows[place].label, []).append(rows[place])
    ranked = [((number + 0.5) / len(group), row) for group in members.values() for number, row in enumerate(group)]
    return [row for _, row in sorted(ranked, key=lambda one: one[0])[:count]]


def _carry_out(job: Job, home: Path) -> Result:
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_WAIT_POLICY="PASSIVE")
    from cli.quiet import quiet_libraries

    quiet_libraries()
    quiet_logs()
    rows = rows_of(job.data, count=job.rows, seed=job.seed)
    if job.strategy == TFIDF:
        return _tfidf(rows)
    with opened(home) as store, tempfile.TemporaryDirectory(dir=home) as work:
        return _train(job, rows, store, Path(work))


def _train(job: Job, rows: Rows, store: Store, work: Path) -> Result:
    from retrain.choose import choose_strategy
    from retrain.features import FeatureCache
    from retrain.strategy import plan_training
    from retrain.train import TrainingData, train_version
    from retrain.tuned_base import export_tuned

    with store.database.read() as session:
        bundle = store.artifacts.fetch(get_base(session, "minilm").artifact)
    spec, engine = read_spec(bundle), Engine(bundle, slots=2)
    features = FeatureCache(work / "features", engine)
    texts = [row.text for row in rows.train]
    began = time.monotonic()
    strategy, epochs = job.strategy, job.epochs
    if strategy == AUTO:
        lengths = [row.length_tokens for row in engine.modality.encode(texts[:1_000], truncate=True)]
        advice = choose_strategy(
            spec, rows.train, features.of(texts), tokens=sum(lengths) / len(lengths), cores=usable_cores()
        )
        strategy, epochs = advice.strategy, advice.epochs
    trained = train_version(
        store.artifacts.fetch(spec.backbone_artifact),
        spec,
        plan_training(spec, strategy, job.overrides, rows=len(rows.train), epochs=epochs, seed=job.seed),
        TrainingData(rows.train, rows.validation, rows.labels),
        features=features.of,
        start=None,
        work=work,
        on_step=lambda step, share, figures: None,
    )
    seconds = time.monotonic() - began
    peak = _peak_bytes()
    if trained.backbone is not None:
        _, key = export_tuned(trained.backbone, spec, store.artifacts, name=strategy, labels=len(rows.labels))
        engine = Engine(store.artifacts.fetch(key), slots=2)
    engine.bank.load("trained", read_adapter(trained.adapter, engine.spec))
    scored = engine.score([row.text for row in rows.test], "trained", labels=len(rows.labels))
    answers = [rows.labels[place] for place in scored.probabilities.argmax(axis=1)]
    return Result(
        trained=strategy,
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
    answers = model.predict([row.text for row in rows.test])
    return Result(
        trained=TFIDF,
        right=[bool(answer == row.label) for answer, row in zip(answers, rows.test, strict=True)],
        validation_accuracy=model.score([row.text for row in rows.validation], [row.label for row in rows.validation]),
        trainable=int(model[-1].coef_.size),
        total=int(model[-1].coef_.size),
        seconds=seconds,
        peak_bytes=_peak_bytes(),
    )


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    asked, home, out = sys.argv[1:]
    incoming = Path(f"{out}.incoming")
    incoming.write_text(json.dumps(asdict(_carry_out(Job(**json.loads(asked)), Path(home)))))
    incoming.replace(out)


if __name__ == "__main__":
    main()

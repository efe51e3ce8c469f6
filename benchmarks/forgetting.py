"""What a retraining forgets: two new domains of CLINC150 arrive at a model that knows the other eight.

Production is LoRA on the rows of eight domains (120 intents). Then the labels of the two others (30 intents) come in,
and the model is retrained as the worker does it, with all, some and none of the old rows replayed; and anew on all
rows, from the pretrained weights. Each version answers the set's own test rows of the old and of the new domains.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.frame import quiet_logs, tell
from benchmarks.precision import DATA
from benchmarks.stage import Store, build_base, machine, opened
from benchmarks.trainings import claim, clinc150_splits, difference
from engine.adapter import read_adapter
from engine.base import BaseSpec
from engine.engine import Engine
from retrain.dataset import Row
from retrain.strategy import plan_training
from retrain.teach import train_on_rows
from store.bases import get_base

NEW_DOMAINS = ("banking", "travel")
SHARES = (0.0, 0.1, 0.3, 1.0)
"""Of the old training rows, that a retraining sees again."""
MOST_POINTS = 1.0


@dataclass(frozen=True, slots=True)
class Rows:
    """Of one side, old or new domains."""

    taught: list[Row]
    """Training and validation rows."""
    test: list[Row]


@dataclass(frozen=True, slots=True)
class Version:
    adapter: Path
    started_from: str
    seconds: float
    old: list[bool]
    """Which of the test rows of the old domains it answers rightly."""
    new: list[bool]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forgetting", description=__doc__)
    parser.add_argument("--rows-a-class", type=int, default=100, help="training rows (default: %(default)s, all)")
    asked = parser.parse_args()
    from cli.quiet import quiet_libraries

    quiet_libraries()
    quiet_logs()
    tell(machine())
    old, new = (_rows(kind, asked.rows_a_class) for kind in ("old", "new"))
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        spec = build_base(home)
        with opened(home) as store:
            school = _School(store, spec, home, old.test, new.test)
            _play(school, old, new)


def _play(school: "_School", old: Rows, new: Rows) -> None:
    production = school.train(old.taught, None, share=1.0)
    tell(_line("production", production))
    key = school.store.artifacts.put("adapters", production.adapter)
    start = {"version": 1, "artifact": key, "backbone": None, "feedback_until": 0}
    rows = [*old.taught, *new.taught]
    points: dict[float, float] = {}
    for share in track(SHARES, description="retraining"):
        version = school.train(rows, start, share=share)
        tell(_line(f"replay of {share:.0%}", version))
        points[share] = 100 * (_accuracy(production.old) - _accuracy(version.old))
        low, high = (100 * bound for bound in difference(production.old, version.old))
        tell(f"replay of {share:.0%}: points lost on the old domains {points[share]:.2f} [{low:.2f} to {high:.2f}]")
    tell(_line("anew, on all rows", school.train(rows, None, share=1.0)))
    tell(claim("points lost on the old domains, as retrained by default", points[1.0], most=MOST_POINTS))


@dataclass(frozen=True, slots=True)
class _School:
    """Trains as the worker does, and asks what was learned."""

    store: Store
    spec: BaseSpec
    home: Path
    old: Sequence[Row]
    new: Sequence[Row]

    def train(self, rows: Sequence[Row], start: dict[str, Any] | None, *, share: float) -> Version:
        with self.store.database.read() as session:
            bundle = self.store.artifacts.fetch(get_base(session, "minilm").artifact)
        teaching = sum(row.split == "train" for row in rows)
        plan = plan_training(self.spec, "lora", {"replay_share": share}, rows=teaching, epochs=None, seed=0)
        work = Path(tempfile.mkdtemp(dir=self.home))
        began = time.monotonic()
        trained = train_on_rows(
            self.store.artifacts,
            bundle,
            plan,
            rows,
            start=start,
            features=self.home / "features",
            work=work,
            on_step=lambda step, done, figures: None,
        )
        seconds = time.monotonic() - began
        engine = Engine(bundle, slots=2)
        packed = read_adapter(trained.adapter, self.spec)
        engine.bank.load("trained", packed)
        old, new = (_asked(engine, packed.labels, side) for side in (self.old, self.new))
        return Version(trained.adapter, trained.figures.started_from, seconds, old, new)


def _asked(engine: Engine, labels: Sequence[str], rows: Sequence[Row]) -> list[bool]:
    scored = engine.score([row.text for row in rows], "trained", labels=len(labels))
    answers = [labels[place] for place in scored.probabilities.argmax(axis=1)]
    return [answer == row.label for answer, row in zip(answers, rows, strict=True)]


def _rows(kind: str, rows_a_class: int) -> Rows:
    """kind: `old` or `new` domains. New rows have come by feedback."""
    domains: dict[str, list[str]] = json.loads((DATA / "clinc150_domains.json").read_text())
    wanted = {label for name in domains for label in domains[name] if (name in NEW_DOMAINS) == (kind == "new")}
    splits = clinc150_splits()
    left = dict.fromkeys(wanted, rows_a_class)
    taught = []
    for split, name in (("train", "train"), ("val", "validation")):
        for text, label in splits[split]:
            if label in wanted and (name == "validation" or left[label]):
                left[label] -= name == "train"
                taught.append(Row(text, label, split=name))
    if kind == "new":
        taught = [replace(row, feedback_seq=number) for number, row in enumerate(taught, start=1)]
    return Rows(taught, [Row(text, label) for text, label in splits["test"] if label in wanted])


def _line(name: str, version: Version) -> str:
    return (
        f"{name}: old domains {_accuracy(version.old):.4f}, new domains {_accuracy(version.new):.4f}; "
        f"started from {version.started_from}, {version.seconds:,.0f} s"
    )


def _accuracy(right: Sequence[bool]) -> float:
    return sum(right) / len(right)


if __name__ == "__main__":
    main()

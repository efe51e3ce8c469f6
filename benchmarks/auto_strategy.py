"""What `auto` chooses, beside the best of all strategies, found by trying them: many and few rows, near and far data.

Somebody brings so many labelled rows, of which 70 % teach and 15 % validate; each strategy and `auto` learn from the
same ones, in processes of their own, and answer the set's own test rows, thousands of them. Few rows are drawn several
times, and trained with as many seeds. Prints one row of a table for each setting; accuracies are means over the draws.
The best strategy is the one with the best mean on the test rows, which nobody knows who has to choose.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from rich.progress import track

from benchmarks.frame import tell
from benchmarks.stage import build_base, machine
from benchmarks.trainings import AUTO, Job, Result, claim, difference, train_apart
from retrain.strategy import TRAINABLE


@dataclass(frozen=True, slots=True)
class Setting:
    domain: str
    """`near` or `far`, from what MiniLM knows."""
    data: str
    rows: int | None
    """Labelled rows that somebody brings; None for all of the set."""
    draws: int

    @property
    def name(self) -> str:
        return f"{self.data}-{self.rows or 'all'}"


SETTINGS = (
    Setting("near", "snips", 50, 3),
    Setting("far", "goemotions", 50, 3),
    Setting("near", "snips", 300, 3),
    Setting("far", "goemotions", 300, 3),
    Setting("near", "clinc150", 2_000, 2),
    Setting("far", "goemotions", 2_000, 2),
    Setting("near", "clinc150", None, 1),
    Setting("far", "goemotions", 15_000, 1),
)
MOST_POINTS = 1.0
MOST_TIME = 1 / 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auto_strategy", description=__doc__)
    names = [setting.name for setting in SETTINGS]
    parser.add_argument("--settings", default=",".join(names), help="default: %(default)s")
    parser.add_argument("--keep", type=Path, help="folder for results; those that lie there are not made again")
    asked = parser.parse_args()
    wanted = asked.settings.split(",")
    if strange := set(wanted) - set(names):
        parser.error(f"no setting {', '.join(sorted(strange))}; there are {', '.join(names)}")
    tell(machine())
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        build_base(home)
        for setting in SETTINGS:
            if setting.name in wanted:
                tell_setting(setting, _played(setting, home, asked.keep))


def _played(setting: Setting, home: Path, keep: Path | None) -> dict[str, list[Result]]:
    """By strategy, a result a draw."""
    jobs = [
        Job(setting.data, strategy, rows=setting.rows, seed=seed)
        for seed in range(setting.draws)
        for strategy in (*TRAINABLE, AUTO)
    ]
    found: dict[str, list[Result]] = {}
    for job in track(jobs, description=setting.name):
        found.setdefault(job.strategy, []).append(train_apart(job, home, keep=keep))
    return found


def tell_setting(setting: Setting, found: Mapping[str, Sequence[Result]]) -> None:
    accuracy = {strategy: mean(result.accuracy for result in found[strategy]) for strategy in found}
    best = max(TRAINABLE, key=lambda strategy: accuracy[strategy])
    each = ", ".join(f"{strategy} {accuracy[strategy]:.4f} ({_seconds(found[strategy]):,.0f} s)" for strategy in found)
    chosen = " ".join(f"{name} x{count}" for name, count in Counter(one.trained for one in found[AUTO]).items())
    tell(f"{setting.name}, {setting.domain}: {each}; auto took {chosen}, the best is {best}")
    points = 100 * (accuracy[best] - accuracy[AUTO])
    low, high = (100 * bound for bound in difference(_right(found[best]), _right(found[AUTO])))
    behind = claim(f"{setting.name}: points that auto is behind", points, most=MOST_POINTS)
    tell(f"{behind} [{low:.2f} to {high:.2f}]")
    share = _seconds(found[AUTO]) / sum(_seconds(found[strategy]) for strategy in TRAINABLE)
    tell(claim(f"{setting.name}: time of auto over that of all", share, most=MOST_TIME))


def _seconds(results: Sequence[Result]) -> float:
    return mean(result.seconds for result in results)


def _right(results: Sequence[Result]) -> list[bool]:
    return [right for result in results for right in result.right]


if __name__ == "__main__":
    main()

"""From labelled rows to a registered version: `driftgate train` on 2,000 rows of CLINC150, command to exit.

The seconds of each stage are told apart by what the run reports, and by how long at most its progress stood still. The
command runs as a person starts it, in a process of its own: the start of Python and the libraries counts, and no
features of the rows are there from before.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from benchmarks.frame import tell
from benchmarks.stage import Store, build_base, machine, opened
from benchmarks.trainings import claim, rows_of
from store.records import Run

ROWS = 2_000
TRAINING = "training"
MOST_S, MOST_OUTSIDE_S = 120.0, 20.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """At a run, as its record tells how far it is."""

    at_s: float
    """Since the command was given."""
    stage: str
    progress: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels_to_version", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strategy", help="default: that of `driftgate train`")
    asked = parser.parse_args()
    tell(machine())
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home, file = Path(folder, "home"), Path(folder, "rows.csv")
        build_base(home)
        _write_rows(file)
        options = [] if asked.strategy is None else ["--strategy", asked.strategy]
        found = [_tell_round(home, file, f"round-{number}", options) for number in range(asked.rounds)]
    whole, outside = (sorted(values)[len(values) // 2] for values in zip(*found, strict=True))
    tell(claim(f"seconds from {ROWS:,} rows to a version, median of {len(found)}", whole, most=MOST_S))
    tell(claim("of which outside training", outside, most=MOST_OUTSIDE_S))


def stages(looks: Sequence[Look], *, until_s: float) -> dict[str, float]:
    """Seconds by stage. looks: at least one; what lies before the first counts as `start`."""
    spent = {"start": looks[0].at_s}
    for look, after in zip(looks, [*(look.at_s for look in looks[1:]), until_s], strict=True):
        spent[look.stage] = spent.get(look.stage, 0.0) + after - look.at_s
    return spent


def longest_stillness(looks: Sequence[Look]) -> tuple[float, str]:
    """Seconds for which the progress did not move, and in which stage. looks: at least one."""
    longest, since = (0.0, ""), looks[0]
    for look in looks[1:]:
        if (look.stage, look.progress) != (since.stage, since.progress):
            longest, since = max(longest, (look.at_s - since.at_s, since.stage)), look
    return longest


def _tell_round(home: Path, file: Path, model: str, options: Sequence[str]) -> tuple[float, float]:
    """Seconds in all, and outside training. Nothing is left of the round before but its version."""
    shutil.rmtree(home / "cache", ignore_errors=True)
    command = [sys.executable, "-m", "cli.main", "--home", str(home), "train", "--model", model, "--base", "minilm"]
    with opened(home) as store:
        began = time.monotonic()
        training = subprocess.Popen(
            [*command, "--data", str(file), *options, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        looks = _watch(training, store, model, began)
        out, err = training.communicate()
        whole = time.monotonic() - began
    if training.returncode:
        raise SystemExit(err.decode()[-2_000:])
    told = json.loads(out)
    spent = stages(looks, until_s=whole)
    still, stage = longest_stillness(looks)
    tell(
        f"{model}: {told['strategy']}, test accuracy {told['accuracy']:.4f}; {whole:.1f} s: "
        + ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items())
        + f"; progress stood still for {still:.1f} s at most, in {stage}"
    )
    return whole, whole - spent.get(TRAINING, 0.0)


def _watch(training: subprocess.Popen[bytes], store: Store, model: str, began: float) -> list[Look]:
    """Until it ends. Its output is short enough to wait in the pipes."""
    looks = []
    while training.poll() is None:
        with store.database.read() as session:
            run = session.scalars(select(Run).where(Run.model == model)).first()
            if run is not None:
                looks.append(Look(time.monotonic() - began, run.stage, run.progress))
        time.sleep(_LOOK_EVERY_S)  # another process moves on when it does; there is nothing to await
    return looks


def _write_rows(file: Path) -> None:
    rows = rows_of("clinc150", count=round(ROWS / 0.85))
    with file.open("w", newline="") as target:
        csv.writer(target).writerows(
            [("text", "label"), *((row.text, row.label) for row in [*rows.train, *rows.validation][:ROWS])]
        )


if __name__ == "__main__":
    main()

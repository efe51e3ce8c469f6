"""Does a training come out the same again? MiniLM, 15 classes of CLINC150 with 40 rows each, LoRA, two epochs.

Two trainings from one file and one seed, each in a process of its own, as a person starts them; then `driftgate run
reproduce` of the first. With --threads N also of a run that was trained with N threads, in a process that would use
all cores. Prints whether the weights are the same bytes and by how much the validation accuracy differs.
"""

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.frame import figure_line, tell
from benchmarks.precision import DATA
from benchmarks.stage import build_base, machine

CLASSES, ROWS_A_CLASS, EPOCHS, SEED = 15, 40, 2, 0
_TOP = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproduce", description=__doc__)
    parser.add_argument("--threads", type=int, help="also a run that was trained with so many (default: no such run)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with clinc150.json.gz (default: %(default)s)")
    asked = parser.parse_args()
    tell(machine())
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home, rows = Path(folder, "home"), Path(folder, "rows.csv")
        build_base(home)
        count = write_rows(asked.data / "clinc150.json.gz", rows)
        first, second = (train(home, rows, model) for model in ("first", "second"))
        tell(figure_line("rows", count, f"of {CLASSES} classes, {EPOCHS} epochs, seed {SEED}"))
        tell(figure_line("one run, from command to version", [first["seconds"], second["seconds"]], "s"))
        same = adapter_of(home, "first") == adapter_of(home, "second")
        tell(f"two runs, two processes, one seed: identical adapters {'yes' if same else 'no'}")
        tell_reproduction("run reproduce", home, first["run"])
        if asked.threads is not None:
            other = train(home, rows, "other", OMP_NUM_THREADS=str(asked.threads))
            differs = adapter_of(home, "other") != adapter_of(home, "first")
            tell(f"with {asked.threads} threads: {'another adapter' if differs else 'the same adapter'}")
            tell_reproduction(f"run reproduce of {asked.threads} threads", home, other["run"])


def write_rows(source: Path, file: Path) -> int:
    """The first rows of the first classes, in the order of the set."""
    with gzip.open(source, "rt") as opened:
        pairs: list[tuple[str, str]] = json.load(opened)["train"]
    texts: dict[str, list[str]] = defaultdict(list)
    for text, label in pairs:
        texts[label].append(text)
    rows = [(text, label) for label in sorted(texts)[:CLASSES] for text in texts[label][:ROWS_A_CLASS]]
    with file.open("w", newline="") as target:
        csv.writer(target).writerows([("text", "label"), *rows])
    return len(rows)


def train(home: Path, rows: Path, model: str, **environment: str) -> dict[str, Any]:
    options = ("--base", "minilm", "--data", str(rows), "--epochs", str(EPOCHS), "--seed", str(SEED))
    return driftgate(home, "train", "--model", model, *options, **environment)


def adapter_of(home: Path, model: str) -> str:
    """The artifact of its version, which is named by its bytes; all of PEFT's files count."""
    (version,) = driftgate(home, "model", "show", model)["versions"]
    run = driftgate(home, "run", "show", version["run"])
    artifact: str = version["adapter"]
    tell(f"{model}: threads {run['environment']['threads']['torch']}, kernels {run['environment']['kernels']}")
    return artifact


def tell_reproduction(name: str, home: Path, run: str) -> None:
    started = time.monotonic()
    found = driftgate(home, "run", "reproduce", run)
    tell(
        f"{name}: identical weights {'yes' if found['identical'] else 'no'}, largest difference "
        f"{found['largest_difference']:.2g}, validation accuracy {found['accuracy_then']:.4f} -> "
        f"{found['accuracy_now']:.4f} ({found['difference_points']:.2f} points, promised at most 0.30), "
        f"snapshot hash {'the same' if found['same_snapshot'] else 'ANOTHER'}, {time.monotonic() - started:.0f} s"
    )


def driftgate(home: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "cli.main", "--home", str(home), *arguments, "--json"]
    done = subprocess.run(
        command, cwd=_TOP, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"driftgate {' '.join(arguments)} failed: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    main()

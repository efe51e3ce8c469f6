"""What each strategy reaches, on what share of the parameters, in what time and memory: CLINC150 and SNIPS.

Each strategy is trained by the product's own trainer in a process of its own, one after the other, on the same rows
and the same validation; test rows are answered by the serving engine. Nothing else may run on the machine.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.frame import tell
from benchmarks.stage import build_base, machine
from benchmarks.trainings import TFIDF, Job, Result, claim, difference, train_apart
from retrain.scores import wilson_interval

STRATEGIES = (TFIDF, "head", "scratch", "partial", "lora", "full")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies", description=__doc__)
    parser.add_argument("--sets", default="clinc150,snips")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--epochs", type=int, help="at most (default: what the recipe says)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the plan")
    parser.add_argument("--keep", type=Path, help="folder for results; those that lie there are not made again")
    asked = parser.parse_args()
    overrides = {name: json.loads(value) for name, _, value in (part.partition("=") for part in asked.set)}
    tell(machine())
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        build_base(home)
        for name in asked.sets.split(","):
            results: dict[str, Result] = {}
            for strategy in asked.strategies.split(","):
                job = Job(name, strategy, epochs=asked.epochs, overrides=overrides)
                results[strategy] = train_apart(job, home, keep=asked.keep)
                tell(_line(name, strategy, results[strategy]))
            _tell_claims(name, results)


def _line(name: str, strategy: str, result: Result) -> str:
    low, high = wilson_interval(sum(result.right), len(result.right))
    return (
        f"{name}, {strategy}: test accuracy {result.accuracy:.4f} [{low:.4f} to {high:.4f}] of "
        f"{len(result.right):,} rows, validation {result.validation_accuracy:.4f}; {result.trainable:,} parameters "
        f"({result.trainable / result.total:.2%} of the model); {result.seconds:,.0f} s; "
        f"{result.peak_bytes / 2**20:,.0f} MiB"
    )


def _tell_claims(name: str, results: Mapping[str, Result]) -> None:
    if not {"lora", "full"} <= results.keys():
        return
    lora, full = results["lora"], results["full"]
    tell(claim(f"{name}: accuracy of lora over that of full", lora.accuracy / full.accuracy, least=0.995))
    tell(claim(f"{name}: parameters of lora over those of full", lora.trainable / full.trainable, most=0.01))
    tell(claim(f"{name}: time of lora over that of full", lora.seconds / full.seconds, most=0.6))
    for tuned in ("lora", "full"):
        for other in ("head", TFIDF, "scratch"):
            if other in results:
                low, high = difference(results[tuned].right, results[other].right)
                tell(f"{name}: {tuned} beats {other} by {low:+.4f} to {high:+.4f}{'' if low > 0 else ', MISSED'}")
    if name == "clinc150":
        tell(claim("clinc150: test accuracy of lora", lora.accuracy, least=0.965))


if __name__ == "__main__":
    main()

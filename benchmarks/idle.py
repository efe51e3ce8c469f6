"""Claim 10: what a server takes of a core while it has nothing to do, after a burst of load."""

import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.frame import at_most, begin, claim_line, errors_line, figure_line, load, options, tell
from benchmarks.mixed_text import minilm_tokenizer, mixed_texts
from benchmarks.questions import RightLabel, find_answers
from benchmarks.stage import MODEL, build_home, free_port, serving

_SETTLE_S = 1.0
"""After the burst, what was recorded is still being written."""


def main() -> None:
    parser = options("idle", __doc__)
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    asked = begin(parser)
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        build_home(home)
        texts = mixed_texts(minilm_tokenizer(), asked.texts, seed=4)
        questions = find_answers(home, [(MODEL, text) for text in texts])
        results, shares = [], []
        with serving(home, port=free_port()) as server:
            requests = [question.request(server.address) for question in questions]
            process = psutil.Process(server.pid)
            for _ in range(asked.rounds):
                results.append(
                    load(server.address, requests, clients=64, seconds=asked.seconds, check=RightLabel(questions))
                )
                time.sleep(_SETTLE_S)  # what the load left behind is written meanwhile
                before, began = _cpu_s(process), time.monotonic()
                time.sleep(asked.idle_seconds)  # the length of the measurement
                shares.append(100 * (_cpu_s(process) - before) / (time.monotonic() - began))
        tell(figure_line("throughput of the burst", [result.per_s for result in results], "texts/s"))
        tell(errors_line(results))
        tell(claim_line("claim 10: CPU of an idle server, percent of one core", shares, at_most(1.0)))


def _cpu_s(process: psutil.Process) -> float:
    """Of the process and its children."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    main()

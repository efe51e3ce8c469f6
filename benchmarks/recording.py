"""Claim 7: what recording every prediction to SQLite costs, beside the same server that records nothing."""

import tempfile
from pathlib import Path

from benchmarks.frame import (
    at_least,
    begin,
    claim_line,
    errors_line,
    figure_line,
    options,
    ratios,
    tell,
)
from benchmarks.mixed_text import minilm_tokenizer, mixed_texts
from benchmarks.peers.model import build_tiny_home
from benchmarks.questions import find_answers
from benchmarks.slices import play_in_slices
from benchmarks.stage import MODEL, build_home, free_port, home_like, serving

EVERYTHING = {"DRIFTGATE_SAMPLE_RATE": "1"}
NOTHING = {"DRIFTGATE_SAMPLE_RATE": "0", "DRIFTGATE_AUDIT_RATE": "0", "DRIFTGATE_LOW_SCORE": "0"}


def main() -> None:
    asked = begin(options("recording", __doc__))
    texts = mixed_texts(minilm_tokenizer(), asked.texts, seed=4)
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        for name, build, clients in (("MiniLM", build_home, 64), ("tiny base", build_tiny_home, 8)):
            home = Path(folder, name.replace(" ", "-"))
            build(home)
            questions = find_answers(home, [(MODEL, text) for text in texts])
            with (
                serving(home, port=free_port(), environment=EVERYTHING) as recording,
                serving(home_like(home, "silent"), port=free_port(), environment=NOTHING) as silent,
            ):
                found = play_in_slices(
                    {"recording everything": recording, "recording nothing": silent},
                    questions,
                    clients=clients,
                    rounds=asked.rounds,
                    seconds=asked.seconds,
                )
            rates = {side: [result.per_s for result in results] for side, results in found.items()}
            for side, values in rates.items():
                tell(figure_line(f"{name}, {clients} clients, {side}", values, "requests/s"))
            told = ratios(rates["recording everything"], rates["recording nothing"])
            if name == "MiniLM":
                tell(claim_line("claim 7: throughput with every prediction recorded to without", told, at_least(0.95)))
            else:
                tell(figure_line(f"{name}, throughput with every prediction recorded to without", told, ""))
            tell(errors_line([result for results in found.values() for result in results]))


if __name__ == "__main__":
    main()

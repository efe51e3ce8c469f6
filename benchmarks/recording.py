"""Claim 7: what recording every prediction to SQLite costs, beside the same server that records nothing."""

import tempfile
from pathlib import Path

from benchmarks.frame import (
    alone,
    at_least,
    begin,
    claim_line,
    errors_line,
    figure_line,
    load,
    options,
    play,
    ratios,
    tell,
)
from benchmarks.mixed_text import minilm_tokenizer, mixed_texts
from benchmarks.peers.model import build_tiny_home
from benchmarks.questions import Question, RightLabel, find_answers
from benchmarks.stage import MODEL, Server, build_home, free_port, serving
from cli.load.result import LoadResult

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
            found = _compare(home, questions, clients, asked.rounds, asked.seconds)
            rates = {side: [result.per_s for result in results] for side, results in found.items()}
            for side, values in rates.items():
                tell(figure_line(f"{name}, {clients} clients, {side}", values, "requests/s"))
            told = ratios(rates["recording everything"], rates["recording nothing"])
            if name == "MiniLM":
                tell(claim_line("claim 7: throughput with every prediction recorded to without", told, at_least(0.95)))
            else:
                tell(figure_line(f"{name}, throughput with every prediction recorded to without", told, ""))
            tell(errors_line([result for results in found.values() for result in results]))


def _compare(
    home: Path, questions: list[Question], clients: int, rounds: int, seconds: float
) -> dict[str, list[LoadResult]]:
    with (
        serving(home, port=free_port(), environment=EVERYTHING) as recording,
        serving(home, port=free_port(), environment=NOTHING, log="silent.log") as silent,
    ):

        def turn(server: Server) -> LoadResult:
            requests = [question.request(server.address) for question in questions]
            check = RightLabel(questions)
            return alone(
                server,
                (recording, silent),
                lambda: load(server.address, requests, clients=clients, seconds=seconds, check=check),
            )

        return play(
            {"recording everything": lambda: turn(recording), "recording nothing": lambda: turn(silent)}, rounds
        )


if __name__ == "__main__":
    main()

"""Claim 2: no batching tax. One client with one short text, then 1 to 128 clients, beside both plain servers."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.frame import at_least, at_most, begin, claim_line, figure_line, options, ratios, tell
from benchmarks.peers.model import PlainJudge, export_plain
from benchmarks.peers.roster import PEERS, VARIANTS
from benchmarks.peers.rounds import Results, driftgate_up, get_going, measure_in_slices, peer_up
from benchmarks.peers.workloads import WORKLOADS, Questions, Workload, ask_questions
from benchmarks.stage import build_home

THREADS = "FastAPI def, all threads"
PROCESSES = "FastAPI async, a process a core"
SHORT = Workload("short", "MiniLM, one short text", "minilm", 1, (1,))
SHORT_TEXTS = ("Where is my parcel?", "Refund please", "The lamp is broken.", "Cancel my order now", "It does not work")


def main() -> None:
    parser = options("lone_client", __doc__)
    parser.add_argument("--clients", default="1,2,4,8,16,32,64,128")
    asked = begin(parser)
    counts = [int(count) for count in asked.clients.split(",")]
    ours = VARIANTS[0].name
    mixed = WORKLOADS["text"]
    results = Results()
    with tempfile.TemporaryDirectory(prefix="dg-") as folder, ExitStack() as stack:
        home, model = Path(folder, "home"), Path(folder, "model")
        build_home(home)
        export_plain(home, model)
        questions = ask_questions(model, mixed, seed=4)
        contestants = [stack.enter_context(driftgate_up(VARIANTS[0], home))]
        for number, peer in enumerate(peer for peer in PEERS if peer.name in (THREADS, PROCESSES)):
            contestants.append(stack.enter_context(peer_up(peer, model, Path(folder, str(number)))))
        for contestant in contestants:
            get_going(contestant, mixed, questions)
        for workload, asks, clients in ((SHORT, _short_questions(model), [1]), (mixed, questions, counts)):
            measure_in_slices(
                contestants, workload, asks, clients, rounds=asked.rounds, seconds=asked.seconds, results=results
            )
    for server in (ours, THREADS, PROCESSES):
        tell(figure_line(f"one client, one short text, p50, {server}", _each(results, "short", 1, server), "ms"))
    p50_s = ratios(*(_each(results, "short", 1, server) for server in (ours, THREADS)))
    tell(claim_line(f"claim 2: one client, one short text, p50 to that of {THREADS}", p50_s, at_most(1.10)))
    for count in counts:
        rates = {server: _each(results, "text", count, server, "texts_per_s") for server in (ours, THREADS, PROCESSES)}
        for server, values in rates.items():
            tell(figure_line(f"{count} clients, {server}", values, "texts/s"))
        for server in (THREADS, PROCESSES):
            line = f"claim 2: throughput at {count} clients to {server}"
            tell(claim_line(line, ratios(rates[ours], rates[server]), at_least(0.95)))
    bad = sum(turn.wrong + turn.failures for turn in results.turns)
    tell(f"answers that were wrong or failed: {bad} of {sum(turn.answers for turn in results.turns):,}")


def _each(results: Results, workload: str, clients: int, server: str, figure: str = "p50_ms") -> list[float]:
    """By round."""
    return [getattr(turn, figure) for turn in results.of(workload, clients, server)]


def _short_questions(model: Path) -> Questions:
    judge = PlainJudge(model)
    rows = [(text, judge.probabilities(text)) for text in SHORT_TEXTS]
    answers = [[(judge.labels[int(shares.argmax())], float(shares.max()))] for _, shares in rows]
    return Questions([[text] for text, _ in rows], answers)


if __name__ == "__main__":
    main()

"""Claim 8: three times what the server can do, arriving as it pleases, for a minute.

Capacity is what 64 callers get done who ask again as soon as they are answered, before and after each overload: within
a minute a shared machine changes its speed by more than what is to be shown. Latencies are compared among open
loops: requests that arrive at the rate of the capacity, and at three times that rate. There latency counts from the
intended arrival of a request, so that a server which stops taking any would show it. Both last equally long: where as
much arrives as can be done, the queue wanders, and the longer one looks, the longer it is found.
"""

import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.frame import (
    at_least,
    at_most,
    begin,
    claim_line,
    errors_line,
    figure_line,
    load,
    options,
    order,
    ratios,
    tell,
)
from benchmarks.mixed_text import minilm_tokenizer, mixed_texts
from benchmarks.questions import RightLabel, find_answers
from benchmarks.stage import MODEL, build_home, free_port, serving
from cli.load.apart import run_apart
from cli.load.open import run_open
from cli.load.result import LoadResult

TIMES = 3
CALLERS = 64
CONNECTIONS = 1_024
"""More than the server lets wait, so that it and not the load is what refuses."""
TICK_S = 0.005
"""Arrivals are sent so far apart at least, or the load would take a tenth of the machine from the server."""
_WARM_UP_S = 2.0
_GRACE_S = 30.0


def main() -> None:
    parser = options("overload", __doc__)
    parser.add_argument("--overload-seconds", type=float, default=60.0)
    asked = begin(parser)
    closed: list[LoadResult] = []
    calm: list[LoadResult] = []
    storm: list[LoadResult] = []
    memory: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        build_home(home)
        texts = mixed_texts(minilm_tokenizer(), asked.texts, seed=4)
        questions = find_answers(home, [(MODEL, text) for text in texts])
        check = RightLabel(questions)
        with serving(home, port=free_port()) as server:
            requests = [question.request(server.address) for question in questions]
            process = psutil.Process(server.pid)

            def callers(seconds: float) -> LoadResult:
                return load(server.address, requests, clients=CALLERS, seconds=seconds, check=check)

            def arriving(rate_per_s: float, seconds: float) -> LoadResult:
                return run_apart(
                    run_open,
                    _WARM_UP_S + seconds + 2 * _GRACE_S,
                    None,
                    server.address,
                    requests,
                    rate_per_s=rate_per_s,
                    seconds=seconds,
                    connections=CONNECTIONS,
                    tick_s=TICK_S,
                    warm_up_s=_WARM_UP_S,
                    grace_s=_GRACE_S,
                    check=check,
                )

            rate = callers(asked.seconds).per_s
            arriving(TIMES * rate, min(5.0, asked.overload_seconds))  # the first makes connections and buffers
            shorter_s = max(asked.seconds, min(10.0, asked.overload_seconds))
            closed.append(callers(shorter_s))
            for number in range(asked.rounds):
                rate = closed[-1].per_s
                for side in order(["calm", "storm"], number):
                    if side == "calm":
                        calm.append(arriving(rate, asked.overload_seconds))
                    else:
                        before = process.memory_info().rss
                        storm.append(arriving(TIMES * rate, asked.overload_seconds))
                        memory.append((before, process.memory_info().rss))
                closed.append(callers(shorter_s))
    _report(closed, calm, storm, memory)


def _report(
    closed: list[LoadResult], calm: list[LoadResult], storm: list[LoadResult], memory: list[tuple[int, int]]
) -> None:
    capacity = [(before.per_s + after.per_s) / 2 for before, after in pairwise(closed)]
    goodput = [result.per_s for result in storm]
    p99_closed, p99_calm, p99_storm = ([r.percentile_ms(99) for r in results] for results in (closed, calm, storm))
    statuses = sum((Counter(result.by_status) for result in storm), Counter[int]())
    asked = sum(statuses.values())
    tell(figure_line(f"capacity, {CALLERS} callers", capacity, "texts/s"))
    tell(figure_line(f"p99 of these {CALLERS} callers", p99_closed, "ms"))
    tell(figure_line("p99 at capacity, from the intended arrival", p99_calm, "ms"))
    tell(figure_line("goodput in overload", goodput, "texts/s"))
    tell(figure_line("p99 of the accepted in overload, from the intended arrival", p99_storm, "ms"))
    tell(figure_line("p50 of the accepted in overload", [result.percentile_ms(50) for result in storm], "ms"))
    tell(figure_line("refused with 429", 100 * statuses[429] / asked if asked else 0.0, "%"))
    tell(figure_line("the load's own lateness, p99", [1000 * result.lag_s for result in storm], "ms"))
    others = {status: count for status, count in statuses.items() if status not in (200, 429)}
    wrong, unanswered, unsent = (
        sum(getattr(result, kind) for result in [*calm, *storm]) for kind in ("wrong", "failures", "unsent")
    )
    tell(f"other statuses: {sum(others.values())} {others or ''}".rstrip())
    tell(f"at capacity and in overload: {wrong} wrong, {unanswered} without an answer, {unsent} not sent")
    tell(claim_line("claim 8: p99 of the accepted to p99 at capacity", ratios(p99_storm, p99_calm), at_most(2.0)))
    tell(claim_line("claim 8: goodput to capacity", ratios(goodput, capacity), at_least(0.90)))
    tell(figure_line("resident memory before the first overload", memory[0][0] / 2**20, "MiB"))
    grown = [after / before for before, after in memory]
    tell(claim_line("claim 8: resident memory after an overload to before", grown, at_most(1.05)))
    tell(f"{CALLERS} callers, {errors_line(closed)}")


if __name__ == "__main__":
    main()

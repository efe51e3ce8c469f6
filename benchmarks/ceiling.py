"""Claim 1a: how near driftgate comes, over HTTP, to the best that raw ONNX Runtime reaches online.

The ceiling runs in this process and does nothing but what must be done: 64 rows are outstanding, one thread tokenizes,
sessions take batches of similar length under a token budget, and whoever is answered asks again. It is searched for:
one or two sessions, one thread or two, several budgets and batching rules, ONNX Runtime's own settings and ours.
"""

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from benchmarks.frame import (
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
from benchmarks.peers.model import GRAPH, export_plain
from benchmarks.questions import RightLabel, find_answers
from benchmarks.stage import MODEL, build_home, free_port, opened, serving
from cli.load.result import LoadResult
from engine.adapter import read_adapter
from engine.base import GRAPH_FILES
from engine.engine import Engine
from engine.packing import RunCost, plan_batch
from engine.providers.cpu import _session as our_session
from retrain.unpad import unpad
from store.versions import served_version

OUTSTANDING = 64
GRAPHS = ("adapter", "merged", "merged, padded")
"""Ours, that of one version without adapters, and the same as the exporter leaves it."""
_PADDING_DOES_NOT_MATTER = RunCost(overhead_tokens=inf, tokens_per_s=1.0)
_FINALISTS = 3
"""Of each graph, which are measured again: the best of a short search is partly luck."""


@dataclass(frozen=True, slots=True)
class Config:
    graph: str
    sessions: int
    threads: int
    """Of each session."""
    budget_tokens: int
    rule: str
    """`nearest` fills the budget, padding included; `cost` leaves out what the server would."""
    settings: str
    """ONNX Runtime's own, or ours."""

    def __str__(self) -> str:
        return (
            f"{self.graph} graph, {self.sessions} x {self.threads} threads, budget {self.budget_tokens}, "
            f"{self.rule}, {self.settings} settings"
        )


@dataclass(frozen=True, slots=True)
class Graph:
    path: Path
    adapter: Mapping[str, Any]
    """Inputs that are bound once, if adapters are inputs."""
    cost: RunCost
    """Of a run on one core."""


class Bound:
    """A session whose inputs and outputs are bound, as the fastest way to run it."""

    def __init__(self, session: Any, graph: Graph) -> None:
        self._session = session
        self._binding = session.io_binding()
        for name, value in graph.adapter.items():
            self._binding.bind_ortvalue_input(name, value)

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        for name, array in (("input_ids", ids), ("attention_mask", mask)):
            self._binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        self._binding.bind_output("logits")
        self._session.run_with_iobinding(self._binding)
        logits: NDArray[np.float32] = self._binding.get_outputs()[0].numpy()
        return logits


class Online:
    """The closed loop of so many rows; each of them is asked again, as another text, when it is answered."""

    def __init__(self, bounds: Sequence[Bound], texts: Sequence[str], config: Config, cost: RunCost):
        self._bounds = bounds
        self._texts = texts
        self._budget = config.budget_tokens
        self._cost = cost if config.rule == "cost" else _PADDING_DOES_NOT_MATTER
        self._changed = threading.Condition()
        self._asked: deque[int] = deque(range(OUTSTANDING))
        """Numbers of texts that nobody has tokenized yet."""
        self._next = OUTSTANDING
        self._waiting: list[tuple[int, list[int]]] = []
        """Number and tokens, oldest first."""
        self._done = 0
        self._stop = False

    def measure(self, warm_up_s: float, seconds: float) -> float:
        """Rows a second."""
        threads = [threading.Thread(target=self._tokenize)]
        threads += [threading.Thread(target=self._run, args=(bound,)) for bound in self._bounds]
        for thread in threads:
            thread.start()
        time.sleep(warm_up_s)  # what comes before the measurement
        before, began = self._done, time.perf_counter()
        time.sleep(seconds)  # the length of the measurement
        done, took = self._done - before, time.perf_counter() - began
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        for thread in threads:
            thread.join()
        return done / took

    def _tokenize(self) -> None:
        tokenizer = minilm_tokenizer()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._stop)
                if self._stop:
                    return
                number = self._asked.popleft()
            ids = tokenizer.encode(self._texts[number % len(self._texts)]).ids
            with self._changed:
                self._waiting.append((number, ids))
                self._changed.notify_all()

    def _run(self, bound: Bound) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stop)
                if self._stop:
                    return
                rows = self._take()
            longest = max(len(ids) for _, ids in rows)
            input_ids = np.zeros((len(rows), longest), np.int64)
            mask = np.zeros((len(rows), longest), np.int64)
            for i, (_, ids) in enumerate(rows):
                input_ids[i, : len(ids)] = ids
                mask[i, : len(ids)] = 1
            bound.run(input_ids, mask)
            with self._changed:
                self._done += len(rows)
                self._asked.extend(range(self._next, self._next + len(rows)))
                self._next += len(rows)
                self._changed.notify_all()

    def _take(self) -> list[tuple[int, list[int]]]:
        lengths = [len(ids) for _, ids in self._waiting]
        chosen = set(plan_batch(lengths, budget_tokens=self._budget, cost=self._cost))
        rows = [row for i, row in enumerate(self._waiting) if i in chosen]
        self._waiting = [row for i, row in enumerate(self._waiting) if i not in chosen]
        return rows


class Ceiling:
    """Opens sessions as they are needed, and keeps them."""

    def __init__(self, graphs: Mapping[str, Graph], texts: Sequence[str]) -> None:
        self._graphs = graphs
        self._texts = texts
        self._sessions: dict[tuple[str, str, int, int], Any] = {}

    def measure(self, config: Config, seconds: float) -> float:
        graph = self._graphs[config.graph]
        bounds = [Bound(self._session(config, number), graph) for number in range(config.sessions)]
        return Online(bounds, self._texts, config, graph.cost).measure(min(0.5, seconds), seconds)

    def _session(self, config: Config, number: int) -> Any:
        shared = config.settings == "our"  # ours is one session that several threads run at once
        key = (config.graph, config.settings, config.threads, 0 if shared else number)
        if key not in self._sessions:
            path = self._graphs[config.graph].path
            make = our_session if shared else _default_session
            self._sessions[key] = make(path, threads=config.threads)
        return self._sessions[key]


def main() -> None:
    parser = options("ceiling", __doc__)
    parser.add_argument("--search-seconds", type=float, default=1.0, help="of each setting in the search")
    asked = begin(parser)
    texts = mixed_texts(minilm_tokenizer(), asked.texts, seed=4)
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home, plain = Path(folder, "home"), Path(folder, "plain")
        build_home(home)
        export_plain(home, plain)
        with opened(home) as store:
            with store.database.read() as session:
                served = served_version(session, MODEL, 1)
            bundle = store.artifacts.fetch(served.base_artifact)
            engine = Engine(bundle, slots=2, lanes=1, provider="cpu")
            engine.bank.load(MODEL, read_adapter(store.artifacts.fetch(served.adapter_artifact), engine.spec))
        slot = engine.bank.lease(MODEL)
        assert slot is not None
        unpadded = plain / f"unpadded-{GRAPH}"
        model = onnx.load(plain / GRAPH)
        unpad(model)
        onnx.save(model, unpadded)
        cost = engine.run_costs["fp32"]
        graphs = {
            "adapter": Graph(bundle / GRAPH_FILES["fp32"], engine.bank.view(slot), cost),
            "merged": Graph(unpadded, {}, cost),
            "merged, padded": Graph(plain / GRAPH, {}, replace(cost, padding_share=1.0)),
        }
        ceiling = Ceiling(graphs, texts)
        finalists = _search(ceiling, asked.search_seconds)
        questions = find_answers(home, [(MODEL, text) for text in texts])
        with serving(home, port=free_port(), environment={"DRIFTGATE_PRECISION": "fp32"}) as server:
            requests = [question.request(server.address) for question in questions]
            results: list[LoadResult] = []

            def ours() -> float:
                result = load(server.address, requests, clients=64, seconds=asked.seconds, check=RightLabel(questions))
                results.append(result)
                return result.per_s

            def raw(config: Config) -> Callable[[], float]:
                def turn() -> float:
                    with server.resting():
                        return ceiling.measure(config, asked.seconds)

                return turn

            sides = {"driftgate": ours, **{str(config): raw(config) for config in finalists}}
            found = play(sides, asked.rounds)
        _report(found, finalists, results)


def _search(ceiling: Ceiling, seconds: float) -> list[Config]:
    shapes = ((1, 1), (2, 1), (1, 2))
    found = []
    for graph, (sessions, threads), budget, rule, settings in product(
        GRAPHS, shapes, (128, 256, 512), ("nearest", "cost"), ("default", "our")
    ):
        config = Config(graph, sessions, threads, budget, rule, settings)
        found.append((ceiling.measure(config, seconds), config))
        tell(figure_line(f"search, raw ONNX Runtime, {config}", found[-1][0], "texts/s"))
    found.sort(key=lambda item: -item[0])
    return [
        config for graph in GRAPHS for config in [config for _, config in found if config.graph == graph][:_FINALISTS]
    ]


def _report(found: Mapping[str, Sequence[float]], finalists: Sequence[Config], results: Sequence[LoadResult]) -> None:
    for name, values in found.items():
        tell(figure_line(name if name == "driftgate" else f"raw ONNX Runtime, {name}", values, "texts/s"))
    best = {
        graph: max((str(c) for c in finalists if c.graph == graph), key=lambda name: float(np.median(found[name])))
        for graph in GRAPHS
    }
    whole = max(best.values(), key=lambda name: float(np.median(found[name])))
    tell(f"the online ceiling: {whole}")
    tell(
        claim_line(
            "claim 1a: fp32 throughput to the online ceiling of raw ONNX Runtime",
            ratios(found["driftgate"], found[whole]),
            at_least(0.90),
        )
    )
    for graph, name in best.items():
        tell(
            figure_line(
                f"fp32 throughput to the ceiling with the {graph} graph", ratios(found["driftgate"], found[name]), ""
            )
        )
    tell(errors_line(results))


def _default_session(path: Path, *, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()

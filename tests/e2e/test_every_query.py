"""Every query that a dashboard or an alert asks is asked of a real Prometheus, and has an answer.

It scrapes the real processes, with the committed configuration and rules, while a caller asks, errs and labels. A query
may be right in its every word and still find nothing: a join whose sides never meet, a matcher that nothing matches.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx
import numpy as np
import pytest

from engine.adapter import read_adapter
from engine.engine import Engine
from store.artifacts import open_artifacts
from store.clock import utc_now
from store.database import open_database
from store.reference import Reference, save_reference
from store.runs import NewRun, enqueue_run
from store.settings import Settings, load_settings
from store.versions import NewVersion, promote, register_version
from tests import card_files as card
from tests.card_promql import as_asked, selectors_of
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase, MakeAdapter
from tests.e2e.plain_letters import MATTERS, plain_letters
from tests.e2e.processes import Started, answers_ready, processes, wait_for
from tests.e2e.prometheus import Prometheus, free_port, prometheus

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus (Debian package prometheus) to ask"
)

LABELS = tuple(sorted(MATTERS))
MODEL, UNSEEN = "letters", "bulk"
"""The model that is looked at, and one that nobody asks: it was never checked."""
SETTINGS = {
    "DRIFTGATE_AUDIT_RATE": "1.0",
    "DRIFTGATE_QUEUE_TOKENS": "16",
    "DRIFTGATE_MONITOR_TICK_S": "0.5",
    "DRIFTGATE_CHECK_EVERY_PREDICTIONS": "60",
    "DRIFTGATE_WINDOW_MIN_ROWS": "50",
    "DRIFTGATE_WORKER_POLL_S": "0.2",
}
PACE_S = 0.1
ASKED = {name: as_asked(query.expr, model=MODEL) for name, query in card.queries().items()}
ALARMS = [rule["expr"] for rule in card.alerts().values()]
SELECTORS = sorted({selector for expr in (*ASKED.values(), *ALARMS) for selector in selectors_of(expr)})
VERDICTS = ("label", "right", "wrong", "none")
"""What the caller says of the answers to each round, one after the other."""


@dataclass(frozen=True, slots=True)
class Watched:
    prometheus: Prometheus
    processes: tuple[Started, ...]
    traffic: "Traffic"

    def answers(self, expr: str) -> bool:
        for started in self.processes:
            assert started.process.poll() is None, f"{started.log.name} ended:\n{started.tail()}"
        return bool(self.prometheus.figures(expr))


class Traffic(threading.Thread):
    """One caller at a steady pace, who labels what is answered, and now and then asks for what cannot be had."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.codes: Counter[int] = Counter()
        """Of the answers to predictions."""
        self.refused_verdicts: list[str] = []
        self._url = url
        self._end_asked = threading.Event()

    def run(self) -> None:
        letters = cycle(plain_letters(2_000, seed=2))
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as http, ThreadPoolExecutor(8) as crowd:
            while not self._end_asked.wait(PACE_S):
                self._ask_and_judge(http, list(islice(letters, len(VERDICTS))))
                self._ask(http, MODEL, ["another version"], version=2)
                self._ask(http, "nobody", ["no such model"])
                self._ask(http, MODEL, [" "])
                self._ask(http, MODEL, ["too late"], within_s=0.000_001)
                if not self.codes[429]:
                    self._ask_too_much(http, crowd)

    def end(self) -> None:
        self._end_asked.set()
        self.join(60)

    def _ask(
        self, http: httpx.Client, model: str, texts: list[str], *, version: int | None = None, within_s: float = 30.0
    ) -> httpx.Response:
        answer = http.post(
            f"/v1/models/{model}/predict",
            json={"inputs": texts} | ({"version": version} if version else {}),
            headers={"X-Request-Timeout": str(within_s)},
        )
        self.codes[answer.status_code] += 1
        return answer

    def _ask_too_much(self, http: httpx.Client, crowd: ThreadPoolExecutor) -> None:
        """All at once, and of the version that is not in production: what it answers enters no check."""
        texts = ["money back please " * 6] * 1_000
        list(crowd.map(lambda _: self._ask(http, MODEL, texts, version=2), range(8)))

    def _ask_and_judge(self, http: httpx.Client, letters: list[tuple[str, str]]) -> None:
        answer = self._ask(http, MODEL, [text for text, _ in letters])
        if answer.status_code != 200:
            return
        for prediction, (_, label), verdict in zip(answer.json()["predictions"], letters, VERDICTS, strict=True):
            if verdict == "none":
                continue
            said = {"label": label} if verdict == "label" else {"correct": verdict == "right"}
            kept = http.post("/v1/feedback", json={"prediction_id": prediction["id"], "origin": "audit", **said})
            if kept.status_code != 201:
                self.refused_verdicts.append(kept.text)


def stock(settings: Settings, tiny: ImportedBase, make_adapter: MakeAdapter) -> None:
    """Two models: one whose two versions know what is normal, and one more."""
    database, artifacts, now = open_database(settings), open_artifacts(settings), utc_now()
    add_imported_base(database, settings.home, tiny)
    folders = [make_adapter(tiny, labels=LABELS, seed=seed, scale=1.0) for seed in (1, 2)]
    adapters = [artifacts.put("adapters", folder) for folder in folders]
    normal = settings.home / "normal"
    normal.mkdir()
    save_reference(answered(tiny, folders[0]), normal)
    reference = artifacts.put("references", normal)
    with database.write() as session:
        for adapter in adapters:
            new = NewVersion(MODEL, "tiny", adapter, 8, LABELS, reference=reference)
            register_version(session, new, by="test", now=now)
        register_version(session, NewVersion(UNSEEN, "tiny", adapters[0], 8, LABELS), by="test", now=now)
        for model in (MODEL, UNSEEN):
            promote(session, model, 1, by="test", reason="first version", now=now)
    database.close()


def answered(base: ImportedBase, adapter: Path) -> Reference:
    """What the engine answers to letters like those of the traffic, all of them taken for right."""
    engine = Engine(base.bundle, slots=2, lanes=1)
    engine.bank.load("adapter", read_adapter(adapter, engine.spec, assume_base=True))
    scored = engine.score([text for text, _ in plain_letters(200, seed=1)], "adapter", labels=len(LABELS))
    return Reference(
        labels=LABELS,
        probabilities=scored.probabilities,
        sketches=scored.sketches,
        length_tokens=scored.length_tokens,
        length_chars=scored.length_chars,
        unknown_tokens=scored.unknown_tokens,
        true_label=scored.probabilities.argmax(axis=1).astype(np.int64),
        temperature=1.0,
        max_tokens=engine.spec.max_tokens,
    )


def ask_for_a_run_that_fails(settings: Settings) -> None:
    """It has no data: the version in production was not trained here."""
    database = open_database(settings)
    with database.write() as session:
        enqueue_run(session, NewRun(MODEL, "tiny", "a test", "lora", {}), by="test", now=utc_now())
    database.close()


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, tiny: ImportedBase, make_adapter: MakeAdapter
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    settings = load_settings(home=folder / "home")
    stock(settings, tiny, make_adapter)
    own_port = {name: free_port() for name in ("port", "monitor_port", "worker_port")}
    ports = {Settings.model_fields[name].default: port for name, port in own_port.items()}
    environment = {**SETTINGS, **{f"DRIFTGATE_{name.upper()}": str(port) for name, port in own_port.items()}}
    with (
        prometheus(folder, ports) as asked,
        processes(settings.home, folder / "logs", **environment) as group,
    ):
        started = tuple(group.start(name) for name in ("serve", "monitor", "worker"))
        url = f"http://127.0.0.1:{own_port['port']}"
        wait_for(lambda: answers_ready(url), "the server")
        wait_for(asked.ready, "Prometheus")
        # Rates need to have seen the counters before they grew.
        wait_for(lambda: asked.figures("count(up == 1)") == [len(started)], "the first look at each process")
        traffic = Traffic(url)
        traffic.start()
        ask_for_a_run_that_fails(settings)
        yield Watched(asked, started, traffic)
        traffic.end()


@pytest.mark.parametrize("expr", ASKED.values(), ids=ASKED.keys())
def test_a_panel_shows_something(watched: Watched, expr: str) -> None:
    wait_for(lambda: watched.answers(expr), f"a figure from {expr}", seconds=30)


@pytest.mark.parametrize("selector", SELECTORS)
def test_what_an_alert_or_a_panel_looks_at_is_there(watched: Watched, selector: str) -> None:
    """An alert is silent while all is well, and `or` hides in a panel what is never found."""
    wait_for(lambda: watched.answers(selector), f"a figure from {selector}", seconds=30)


def test_every_rule_can_be_evaluated(watched: Watched) -> None:
    def evaluated() -> list[dict[str, object]]:
        rules = watched.prometheus.rules()
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = wait_for(evaluated, "a look at every rule", seconds=30)
    assert {rule["name"] for rule in rules} == set(card.alerts())
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []


def test_an_alert_rings(watched: Watched) -> None:
    ringing = 'ALERTS{alertname="DriftgateRunFailed", alertstate="firing", severity="warning"}'
    wait_for(lambda: watched.answers(ringing), "the alert of the run that failed", seconds=30)


def test_there_are_models_to_choose_from(watched: Watched) -> None:
    variables = [variable for one in card.dashboards().values() for variable in one["templating"]["list"]]
    (definition,) = {variable["definition"] for variable in variables if variable["name"] == "model"}
    metric = definition.removeprefix("label_values(").removesuffix(", model)")
    models = watched.prometheus.get("label/model/values", **{"match[]": metric})
    assert set(models) == {MODEL, UNSEEN}


def test_the_traffic_was_what_it_was_meant_to_be(watched: Watched) -> None:
    wait_for(lambda: set(watched.traffic.codes) >= {200, 404, 422, 429, 504}, "an answer of each kind", seconds=30)
    assert set(watched.traffic.codes) == {200, 404, 422, 429, 504}
    assert watched.traffic.refused_verdicts == []
    assert watched.traffic.is_alive()

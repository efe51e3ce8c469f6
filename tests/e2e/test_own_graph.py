"""Versions that change the backbone serve from graphs of their own, beside versions that share the base's.

Slow: three real trainings, each in a process of its own, while a server answers.
"""

import csv
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from store.bases import get_base
from store.database import Database, open_database
from store.runs import get_run
from store.settings import Settings, load_settings
from store.versions import get_adapter, get_version
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase
from tests.e2e.plain_letters import plain_letters
from tests.e2e.processes import Processes, answers_ready, processes, wait_for

pytestmark = pytest.mark.slow

LETTERS = plain_letters(900, seed=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def opened(settings: Settings, tiny: ImportedBase) -> Iterator[Database]:
    database = open_database(settings)
    add_imported_base(database, settings.home, tiny)
    yield database
    database.close()


@pytest.fixture
def group(tmp_path: Path, opened: Database) -> Iterator[Processes]:
    with processes(tmp_path / "home", tmp_path / "logs") as started:
        yield started


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with (tmp_path / "letters.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *LETTERS])
    return tmp_path / "letters.csv"


def test_a_running_server_goes_from_a_shared_graph_to_an_own_one_and_back(
    group: Processes, opened: Database, data: Path
) -> None:
    def train(strategy: str, *options: str) -> dict[str, object]:
        command = ("train", "--base", "tiny", "--model", "letters", "--data", str(data), "--strategy", strategy)
        trained = group.ask(*command, *options)
        group.ask("model", "promote", "letters", str(trained["version"]))  # whatever the gate says of so small a gain
        return trained

    assert train("lora", "--epochs", "6")["version"] == 1
    url = f"http://127.0.0.1:{free_port()}"
    server = group.start("serve", DRIFTGATE_PORT=url.rpartition(":")[2])
    wait_for(lambda: answers_ready(url), "the server")
    shared = ask(url)
    assert train("full", "--epochs", "8")["version"] == 2
    wait_for(lambda: ask(url)["version"] == 2, "version 2 in production")
    own = ask(url)

    with opened.read() as session:
        adapter = get_adapter(session, get_version(session, "letters", 2))
        assert get_base(session, adapter.base).parent == "tiny"
    assert own["predictions"] != shared["predictions"]
    named = [ask(url, version=number) for number in (1, 2)]
    assert [strip(answer) for answer in named] == [strip(shared), strip(own)], "both graphs answer side by side"

    third = train("full", "--epochs", "1")
    assert third["version"] == 3
    with opened.read() as session:
        start = get_run(session, str(third["run"])).environment["start"]
    assert start["version"] == 2, "a full retraining starts from the weights of the version before"
    group.ask("model", "rollback", "letters")
    group.ask("model", "promote", "letters", "1")
    wait_for(lambda: ask(url)["version"] == 1, "version 1 in production again")
    assert strip(ask(url)) == strip(shared)
    assert server.process.poll() is None


def ask(url: str, version: int | None = None) -> dict[str, Any]:
    body = {"inputs": [text for text, _ in LETTERS[:5]], "probabilities": True}
    answer = httpx.post(f"{url}/v1/models/letters/predict", json=body | ({"version": version} if version else {}))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def strip(answer: dict[str, Any]) -> list[tuple[str, float]]:
    """Labels and scores: what does not differ from one asking to the next."""
    return [(one["label"], round(one["score"], 4)) for one in answer["predictions"]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

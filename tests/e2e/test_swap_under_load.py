"""Fifty promotions under load: no request fails, and no answer mixes one version's label with the other's name."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.demo.tickets import World, tickets
from store.clock import utc_now
from store.database import Database, open_database
from store.settings import load_settings
from store.versions import promote
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase, MakeAdapter
from tests.e2e.processes import Processes, processes

PROMOTIONS = 50
CLIENTS = 16
VISIBLE_S = 1.0
LABELS = {1: ("billing", "refund", "other"), 2: ("shipping", "billing", "refund")}
"""By version; the orders differ, so that a version's weights with the other's labels are found out."""
TEXTS = [t.text for t in tickets(World.BEFORE, 200, seed=5) if len(t.text.split()) <= 20][:80]


@dataclass
class Seen:
    """What the clients have met so far."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    by_version: Counter[int] = field(default_factory=Counter)
    awaited: tuple[int, float, asyncio.Event] | None = None
    """Set when this version has answered a request that began after that moment."""
    stale: int = 0
    """Answers of the old version to requests that began after the API had acknowledged the new one."""
    acknowledged: tuple[int, float] | None = None
    """The version that the API promoted last, and when its answer came."""


Expected = dict[int, dict[str, tuple[str, float]]]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Database]:
    database = open_database(load_settings(home=tmp_path / "home"))
    yield database
    database.close()


@pytest.fixture
def stock(tmp_path: Path, opened: Database, tiny: ImportedBase, make_adapter: MakeAdapter) -> Iterator[Processes]:
    """A home whose model `tickets` has two versions that disagree."""
    add_imported_base(opened, tmp_path / "home", tiny)
    with processes(tmp_path / "home", tmp_path / "logs") as group:
        for version, labels in LABELS.items():
            folder = make_adapter(tiny, seed=version, labels=labels, scale=1.0)
            group.ask("adapter", "import", str(folder), "--base", "tiny", "--model", "tickets", "--promote")
        yield group


def test_fifty_promotions_under_load_lose_and_mix_up_nothing(stock: Processes, opened: Database) -> None:
    url = stock.start("serve").logged("listening")["url"]
    seen, slowest = asyncio.run(_play(url, opened))
    print(
        f"requests {seen.requests}, promotions {PROMOTIONS}, failures {len(seen.failures)}, "
        f"wrong answers {len(seen.wrong)}, answers by version {dict(seen.by_version)}, "
        f"slowest promotion visible after {slowest * 1000:.0f} ms"
    )
    assert seen.failures == []
    assert seen.wrong == []
    assert seen.stale == 0
    assert slowest <= VISIBLE_S
    assert min(seen.by_version.values()) > PROMOTIONS


async def _play(url: str, database: Database) -> tuple[Seen, float]:
    limits = httpx.Limits(max_connections=CLIENTS + 4)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as http:
        expected = {version: await _ask_by_name(http, version) for version in LABELS}
        disagree = sum(expected[1][text][0] != expected[2][text][0] for text in TEXTS)
        assert disagree > len(TEXTS) / 3, f"the versions disagree on {disagree} of {len(TEXTS)} texts only"
        seen, stop = Seen(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(_client(http, number, expected, seen, stop))
            slowest = 0.0
            for turn in range(PROMOTIONS):
                version = 1 + turn % 2  # version 2 was promoted last when it was imported
                slowest = max(slowest, await _promote(http, database, version, seen, through_api=turn % 3 != 2))
            stop.set()
    return seen, slowest


async def _ask_by_name(http: httpx.AsyncClient, version: int) -> dict[str, tuple[str, float]]:
    answer = await http.post("/v1/models/tickets/predict", json={"inputs": TEXTS, "version": version})
    predictions = answer.raise_for_status().json()["predictions"]
    return {text: (p["label"], p["score"]) for text, p in zip(TEXTS, predictions, strict=True)}


async def _client(http: httpx.AsyncClient, number: int, expected: Expected, seen: Seen, stop: asyncio.Event) -> None:
    for i in count(number):
        if stop.is_set():
            return
        text = TEXTS[i * 7 % len(TEXTS)]
        began, acknowledged = time.monotonic(), seen.acknowledged
        seen.requests += 1
        try:
            response = await http.post("/v1/models/tickets/predict", json={"inputs": [text]})
        except httpx.HTTPError as error:
            seen.failures.append(repr(error))
            continue
        if response.status_code != 200:
            seen.failures.append(f"{response.status_code} {response.text[:200]}")
            continue
        _compare(response.json(), text, expected, seen)
        version = response.json()["version"]
        if seen.awaited is not None and seen.awaited[0] == version and began >= seen.awaited[1]:
            seen.awaited[2].set()
        seen.stale += acknowledged is not None and acknowledged is seen.acknowledged and acknowledged[0] != version


def _compare(body: dict[str, Any], text: str, expected: Expected, seen: Seen) -> None:
    (prediction,) = body["predictions"]
    label, score = expected[body["version"]][text]
    seen.by_version[body["version"]] += 1
    if prediction["label"] != label or abs(prediction["score"] - score) > 1e-4:
        seen.wrong.append(f"version {body['version']} said {prediction}, by name {label} {score}: {text!r}")


async def _promote(
    http: httpx.AsyncClient, database: Database, version: int, seen: Seen, *, through_api: bool
) -> float:
    """Promote and wait for an answer of the new version; returns how long that took from the acknowledgement."""
    seen.acknowledged = None
    if through_api:
        (await http.post(f"/v1/models/tickets/versions/{version}/promote")).raise_for_status()
        seen.acknowledged = (version, time.monotonic())
    else:
        await asyncio.to_thread(_promote_in_store, database, version)
    done, met = time.monotonic(), asyncio.Event()
    seen.awaited = (version, done, met)
    async with asyncio.timeout(30):
        await met.wait()
    return time.monotonic() - done


def _promote_in_store(database: Database, version: int) -> None:
    with database.write() as session:
        promote(session, "tickets", version, by="test", reason="asked for in the store", now=utc_now())

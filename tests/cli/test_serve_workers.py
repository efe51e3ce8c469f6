"""Several serving processes on one port, really started."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from store.clock import utc_now
from store.database import open_database
from store.settings import load_settings
from store.versions import promote
from tests.e2e.processes import Processes, Started, processes
from tests.waiting import until


@pytest.fixture
def started(home: Path, tmp_path: Path) -> Iterator[Processes]:
    with processes(home, tmp_path / "logs") as running:
        yield running


def workers_of(serve: Started) -> list[psutil.Process]:
    """In the order in which they were started."""
    found = [child for child in psutil.Process(serve.process.pid).children() if "--listen-fd" in child.cmdline()]
    return sorted(found, key=lambda child: child.create_time())


def ask(url: str) -> httpx.Response:
    """Over a connection of its own, so that any worker may get it."""
    return httpx.post(f"{url}/v1/models/tickets/predict", json={"inputs": ["where is my parcel?"]}, timeout=30)


def total(url: str, metric: str) -> float:
    text = httpx.get(f"{url}/metrics", timeout=30).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(metric + r".*[{ ]", line))


def listening(serve: Started, count: int) -> str:
    """The address, once so many workers have said it."""

    def look() -> list[str]:
        said = re.findall(r'"url": "(http://[^"]+)"', serve.log.read_text())
        return said if len(said) >= count else []

    return until(look, within_s=60)[0]


def test_workers_share_a_port_add_up_their_metrics_and_follow_one_store(started, home, with_model):
    serve = started.start("serve", "--workers", "2")
    url = listening(serve, 2)
    assert len(workers_of(serve)) == 2
    answers = [ask(url) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert total(url, "driftgate_requests_total") == 20
    assert total(url, "driftgate_adapter_slots.*free") == 2 * 255, "each worker has its own"

    settings = load_settings(home=home)
    database = open_database(settings)
    with database.write() as session:
        promote(session, "tickets", 2, by="test", reason="better", now=utc_now())
    database.close()
    until(lambda: {ask(url).json()["version"] for _ in range(8)} == {2})
    until(lambda: {ask(url).json()["version"] for _ in range(8)} == {2})
    assert serve.stop() == 0


def test_a_worker_that_dies_is_replaced_and_the_others_go_on(started, with_model):
    serve = started.start("serve", "--workers", "2")
    url = listening(serve, 2)
    ask(url)
    victim = workers_of(serve)[-1]
    os.kill(victim.pid, signal.SIGKILL)
    assert ask(url).status_code == 200
    listening(serve, 3)
    assert len(workers_of(serve)) == 2
    assert ask(url).status_code == 200
    assert total(url, "driftgate_adapter_slots.*free") == 2 * 255, "the dead one counts no more"


def test_workers_end_when_whoever_started_them_is_killed(started, with_model):
    serve = started.start("serve", "--workers", "2")
    listening(serve, 2)
    workers = workers_of(serve)
    serve.kill()
    _, left = psutil.wait_procs(workers, timeout=30)
    assert left == []

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from server.process import bind, open_parts, run_server
from store.clock import utc_now
from store.database import open_database
from store.errors import BadInput, Refused, StoreUnavailable
from store.keys import create_key, revoke_key
from store.predictions import count_predictions
from store.settings import load_settings
from tests.server.conftest import Start
from tests.waiting import until

TOP = Path(__file__).parents[2]


def test_sigterm_answers_what_was_accepted_and_writes_what_is_buffered(tmp_path, stocked_home, tiny):
    home = tmp_path / "home"
    shutil.copytree(stocked_home, home)
    environment = {
        "DRIFTGATE_HOME": str(home),
        "DRIFTGATE_ARTIFACTS_URL": str(tiny.bundle.parents[1]),
        "DRIFTGATE_LOG_STYLE": "json",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve", "--port", "0", "--grpc-port", "0"],
        cwd=TOP,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        events = (json.loads(line) for line in process.stderr if line.startswith("{"))
        url = next(event["url"] for event in events if event["event"] == "listening")
        holder = sqlite3.connect(home / "driftgate.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")  # the writer has to wait, so all rows are still buffered
        answers = [httpx.post(f"{url}/v1/models/tickets/predict", json={"inputs": ["a", "b"]}) for _ in range(5)]
        assert all(p["recorded"] for answer in answers for p in answer.json()["predictions"])
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        holder.execute("ROLLBACK")
        holder.close()
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    database = open_database(load_settings(home=home))
    with database.read() as session:
        assert count_predictions(session) == 10
    database.close()


def test_an_open_door_is_refused(tmp_path):
    settings = load_settings(home=tmp_path, host="0.0.0.0", port=0)  # noqa: S104  # refused, and that is the point
    with pytest.raises(Refused, match="would let anybody in"):
        run_server(settings)


def test_a_door_whose_last_key_was_revoked_is_shut_and_not_open(tmp_path):
    settings = load_settings(home=tmp_path)
    database = open_database(settings)
    with database.write() as session:
        _, key = create_key(session, ["predict"], note="", now=utc_now())
    with database.write() as session:
        revoke_key(session, key.id, now=utc_now())
    database.close()

    async def needed() -> bool:
        async with open_parts(settings) as parts:
            return parts.keys.needed

    assert asyncio.run(needed())


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.1"])
def test_an_address_that_is_not_here_is_refused(host):
    with pytest.raises(BadInput, match=rf"cannot listen on {host}:0"):
        bind(host, 0)


def test_a_store_that_cannot_be_opened_leaves_nothing_open(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")

    async def opened() -> None:
        async with open_parts(load_settings(home=tmp_path / "home")):
            pass

    with pytest.raises(StoreUnavailable):
        asyncio.run(opened())


def test_a_bug_in_the_recorder_ends_the_server_instead_of_silently_recording_nothing(start: Start, monkeypatch):
    server = start()
    answered = threading.Event()

    def explode(rows: object) -> None:
        assert answered.wait(30)
        raise ZeroDivisionError

    monkeypatch.setattr(server.parts.recorder, "_write", explode)  # a bug, as there is none known
    server.predict()
    server.http.close()
    until(lambda: not server.uvicorn.server_state.connections)
    answered.set()
    server._thread.join(30)
    with pytest.raises(ExceptionGroup) as ended:
        server.stop()
    assert isinstance(ended.value.exceptions[0], ZeroDivisionError)
    server._error = None

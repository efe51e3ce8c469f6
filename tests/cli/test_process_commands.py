"""The long-running processes, each really started, and stopped as an operator stops it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

TOP = Path(__file__).parents[2]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    started = []

    def run(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
        free_ports = {f"DRIFTGATE_{name}PORT": "0" for name in ("", "GRPC_", "MONITOR_", "WORKER_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "--home", str(home), *arguments],
            cwd=TOP,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **free_ports, "DRIFTGATE_LOG_STYLE": "json", **environment},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def logged(process: "subprocess.Popen[str]", *events: str) -> dict[str, dict[str, object]]:
    """Read its log until each of `events` was there; returns them by name."""
    assert process.stderr is not None
    found: dict[str, dict[str, object]] = {}
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith("{"):
            record = json.loads(line)
            found.setdefault(record["event"], record)
        if set(events) <= set(found):
            return found
    raise AssertionError("it ended after saying: " + "".join(seen))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_monitor_ends_cleanly_when_asked_to(start, number):
    process = start("monitor")
    logged(process, "monitor_started")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_arrives_while_the_event_is_locked_still_stops(number):
    """As it is for a moment whenever somebody begins to wait for it; in a process of its own, which may hang."""
    program = (
        "import signal\n"
        "from cli.process_commands import stopping\n"
        f"before = signal.getsignal({int(number)})\n"
        "with stopping() as stop:\n"
        "    with stop._cond:\n"
        f"        signal.raise_signal({int(number)})\n"
        "    assert stop.wait(30)\n"
        f"assert signal.getsignal({int(number)}) == before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_monitor_checks_once_and_prints_what_came_of_it(ask):
    assert ask("monitor", "--once") == {"checks": []}


def test_the_monitor_refuses_a_workspace_that_is_no_folder(ask, refusal, tmp_path):
    assert ask("monitor", "--once", "--evidently-workspace", tmp_path / "reports") == {"checks": []}
    assert (tmp_path / "reports").is_dir()
    (tmp_path / "file").write_text("")
    assert "cannot be a workspace" in refusal("monitor", "--once", "--evidently-workspace", tmp_path / "file")


def test_the_worker_ends_at_once_when_nothing_is_queued(driftgate):
    result = driftgate("worker", "--once")
    assert (result.exit_code, result.stdout) == (0, "")


def test_serve_answers_for_the_models_of_its_home(start, with_model):
    process = start("serve", "--port", "0")
    url = logged(process, "listening")["listening"]["url"]
    answer = httpx.post(f"{url}/v1/models/tickets/predict", json={"inputs": ["where is my parcel?"]}).json()
    assert answer["version"] == 1
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said


def test_serve_refuses_an_open_door(refusal):
    said = refusal("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104  # refused, and that is the point
    assert "--insecure" in said


def test_serve_says_which_port_is_taken(refusal):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in refusal("serve", "--port", port)


def test_up_runs_all_three_and_ends_them_with_itself(start, with_model):
    process = start("up")
    logged(process, "listening", "monitor_started")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert "Traceback" not in said


def test_up_fails_when_serve_cannot_start(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("up", "--port", str(taken.getsockname()[1]))
        _, said = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "error: cannot listen on" in said
    assert "error: serve ended with exit code 1; its own message is above" in said


def test_up_tells_trouble_with_the_store_once(start, home):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where the folder should be")
    process = start("up")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.count("error: ") == 1

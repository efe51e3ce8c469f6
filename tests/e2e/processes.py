"""Real processes of driftgate over one home, and the one way that tests here wait for them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar

TOP = Path(__file__).parents[2]
T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, *, seconds: float = 60.0, every_s: float = 0.05) -> T:
    """What `condition` gives as soon as it is true; fails after `seconds`, saying `what` did not come."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(every_s)  # another process decides when; there is nothing to await


class Started:
    """One process of ours, with its log in a file, so that nobody has to read a pipe for it to go on."""

    def __init__(self, home: Path, log: Path, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.log = log
        free_ports = {f"DRIFTGATE_{name}PORT": "0" for name in ("", "GRPC_", "MONITOR_", "WORKER_")}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "--home", str(home), *arguments],
                cwd=TOP,
                stdout=file,
                stderr=file,
                env={**os.environ, **free_ports, "DRIFTGATE_LOG_STYLE": "json", **environment},
            )

    def logged(self, event: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The first line of its log about `event`."""

        def look() -> dict[str, Any] | None:
            assert self.process.poll() is None, f"it ended before it said {event!r}:\n{self.tail()}"
            return self._find(event)

        return wait_for(look, f"{event!r} in {self.log.name}", seconds=seconds)

    def kill(self) -> None:
        """kill -9: no handler runs, nothing is written any more."""
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)

    def tail(self) -> str:
        return self.log.read_text("utf-8", errors="replace")[-3000:]

    def every(self, event: str, field: str) -> list[Any]:
        """What its log says of `field` in each line about `event`."""
        return [record[field] for record in self._lines(event)]

    def _find(self, event: str) -> dict[str, Any] | None:
        return next(self._lines(event), None)

    def _lines(self, event: str) -> Iterator[dict[str, Any]]:
        for line in self.log.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("{") and f'"{event}"' in line:
                record: dict[str, Any] = json.loads(line)
                if record["event"] == event:
                    yield record


class Processes:
    """Starts processes over one home; each gets a log of its own in `logs`."""

    def __init__(self, home: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._logs = logs
        self._environment = environment
        self._started: list[Started] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, *arguments: str, **environment: str) -> Started:
        log = self._logs / f"{len(self._started):02}-{arguments[0]}.log"
        started = Started(self._home, log, arguments, {**self._environment, **environment})
        self._started.append(started)
        return started

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Run a command with --json to its end; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "--home", str(self._home), *arguments, "--json"],
            cwd=TOP,
            env={**os.environ, **self._environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def end(self) -> None:
        for started in self._started:
            if started.process.poll() is None:
                started.kill()


@contextmanager
def processes(home: Path, logs: Path, **environment: str) -> Iterator[Processes]:
    """Processes that do not outlive the block, however it ends."""
    group = Processes(home, logs, environment)
    try:
        yield group
    finally:
        group.end()


def answers_ready(url: str) -> bool:
    """Asked with little effort, because it is asked often while a process starts on the same cores."""
    host, _, port = url.removeprefix("http://").partition(":")
    connection = HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()

"""A server as a tree of processes that can be put to sleep while another one is measured.

All servers of a round stay up, since Ray and BentoML need many seconds to get going, but only one may use the cores:
the others are stopped with SIGSTOP. So a figure's turns follow each other within seconds and share the machine's mood,
which starting each server anew would not allow. What belongs to a server is found by a mark in its environment, which
also reaches processes that have cut loose from their parent.
"""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from store.errors import Broken

_MARK = "BENCH_MARK"
_READY_WITHIN_S = 120.0
_STOP_WITHIN_S = 15.0


class Tree:
    """All processes that carry one mark."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def members(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # gone meanwhile, or not ours
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def sleep(self) -> None:
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def settled(self) -> "Settled":
        """The processes of this moment, which take no search to put to sleep."""
        return Settled(tuple(self.members()))

    def end(self) -> None:
        """Ask politely, then do not ask."""
        self.wake()
        self._signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(self.members(), timeout=_STOP_WITHIN_S)
        for process in {*alive, *self.members()}:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(self.members(), timeout=_STOP_WITHIN_S)

    def _signal(self, number: signal.Signals) -> None:
        for process in self.members():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@dataclass(frozen=True, slots=True)
class Settled:
    """Processes that will not become others."""

    members: tuple[psutil.Process, ...]

    def sleep(self) -> None:
        """Raises psutil.NoSuchProcess when one of them is gone: what is left is no longer what was to be measured."""
        for process in self.members:
            process.suspend()

    def wake(self) -> None:
        for process in self.members:
            with suppress(psutil.NoSuchProcess):  # sleep says it
                process.resume()


def marked_environment(more: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """A new mark, and our environment with it and `more`, without what would change another interpreter."""
    mark = uuid.uuid4().hex
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return mark, {**ours, "TOKENIZERS_PARALLELISM": "false", **more, _MARK: mark}


@contextmanager
def marked() -> Iterator[Tree]:
    """What is started meanwhile with our own environment is part of the tree."""
    mark = os.environ[_MARK] = uuid.uuid4().hex
    try:
        yield Tree(mark)
    finally:
        os.environ.pop(_MARK, None)  # another server that was marked meanwhile may have ended first


@contextmanager
def running(
    command: list[str], *, environment: Mapping[str, str], folder: Path, is_ready: Callable[[], bool]
) -> Iterator[Tree]:
    """The server, once it is ready. Raises Broken when it does not become so, with the end of what it said."""
    mark, env = marked_environment(environment)
    tree = Tree(mark)
    log = folder / "log.txt"
    try:
        with log.open("ab") as sink:
            process = subprocess.Popen(command, env=env, cwd=folder, stdout=sink, stderr=sink, start_new_session=True)
        began = time.monotonic()
        while not is_ready():
            if process.poll() is not None or time.monotonic() - began > _READY_WITHIN_S:
                raise Broken(f"did not become ready within {_READY_WITHIN_S:g} s: {last_lines(log)}")
            time.sleep(0.1)  # another process decides when; there is nothing to await
        yield tree
    finally:
        tree.end()


def last_lines(log: Path) -> str:
    """What a server said last, in one line."""
    return " | ".join(log.read_text("utf-8", errors="replace").strip().splitlines()[-3:])

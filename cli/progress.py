"""How far long work has come, on stderr: a bar on a terminal, a line for each stage elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli.output import say


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """Yields what to call with the stage and the share that is done, 0 to 1."""
    if not sys.stderr.isatty():
        yield _stage_lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda stage, share: progress.update(task, description=stage, completed=share)


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """For work whose end cannot be foreseen."""
    if not sys.stderr.isatty():
        say(f"{what} ...")
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(what, total=None)
        yield


def _stage_lines() -> Callable[[str, float], None]:
    told: list[str] = []

    def tell(stage: str, share: float) -> None:
        if told[-1:] != [stage]:
            told.append(stage)
            say(f"{share:4.0%} {stage}")

    return tell

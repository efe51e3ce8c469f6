"""What a drift check costs in a store with few recorded predictions and in one with many, on SQLite and PostgreSQL.

Before each check as many rows are recorded as it looks at, as in a service: a check never sees a row that an earlier
one saw. Small and large store take turns. Both databases have what they need in memory that long after they were
filled; a store whose newest rows lie on a slow disk is not measured here.
"""

import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy.engine import make_url

import monitor.check
from benchmarks.frame import at_most, begin, claim_line, figure_line, options, play, quiet_logs, ratios, tell
from benchmarks.recorded import LOW_SCORE_EVERY, MODEL, OTHER_EVERY, Recorded, bytes_a_row, recorded
from monitor.check import run_check
from store.settings import Settings, load_settings

STAGES = {"load window": "load_window", "facts": "gather_facts", "signals and test": "compute"}
"""By stage, the function that it is; what is left is the record, its commit and small look-ups."""
REST = "record"
MOST_S, MOST_RATIO = 5.0, 1.3


@dataclass(frozen=True, slots=True)
class Timed:
    total_s: float
    stage_s: dict[str, float]


def main() -> None:
    parser = options("check_cost", __doc__)
    parser.add_argument("--rows", default="50_000,5_000_000", help="predictions recorded (default: %(default)s)")
    parser.add_argument("--window", type=int, default=5_000, help="rows a check looks at (default: %(default)s)")
    parser.add_argument("--databases", default="sqlite,postgresql", help="with commas (default: %(default)s)")
    parser.add_argument("--postgresql-url", help="a server to make databases on; else one is started, if installed")
    asked = begin(parser)
    quiet_logs()
    sizes = sorted(int(size) for size in asked.rows.split(","))
    for kind in asked.databases.split(","):
        why_not = _why_not(kind, asked.postgresql_url)
        if why_not is not None:
            tell(f"{kind}: left out: {why_not}")
            continue
        with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
            _require_room(kind, sizes, Path(folder))
            with ExitStack() as opened:
                new_settings = opened.enter_context(_settings(kind, Path(folder), asked.window, asked.postgresql_url))
                stores = {
                    size: opened.enter_context(_filled(kind, new_settings(size), size, asked.window, asked.rounds))
                    for size in sizes
                }
                for line in _compare(kind, stores, asked.rounds):
                    tell(line)


def check_timed(store: Recorded, *, asked: bool = False) -> Timed:
    """One check, after the traffic has gone on for as long as it looks back."""
    store.go_on()
    stage_s: dict[str, float] = defaultdict(float)
    with ExitStack() as patched:
        for stage, name in STAGES.items():
            timed = _adding_time(getattr(monitor.check, name), stage_s, stage)
            patched.enter_context(patch.object(monitor.check, name, timed))
        began = time.perf_counter()
        result = run_check(store.parts, MODEL, asked=asked, window_rows=store.window_rows)
        total_s = time.perf_counter() - began
    if result.window_rows != store.window_rows or result.check is None:
        raise RuntimeError(
            f"the check looked at {result.window_rows} of {store.window_rows} rows: {result.drift.reason}"
        )
    return Timed(total_s, {**stage_s, REST: total_s - sum(stage_s.values())})


def _compare(kind: str, stores: dict[int, Recorded], rounds: int) -> Iterator[str]:
    for store in stores.values():
        check_timed(store)  # loads libraries, opens connections
    found = play({f"{size:,}": partial(check_timed, store) for size, store in stores.items()}, rounds)
    for size, checks in found.items():
        stages = ", ".join(f"{name} {_median([check.stage_s[name] for check in checks])}" for name in (*STAGES, REST))
        yield f"{kind}, {size} recorded: {stages} s"
    small, *_, large = found if len(found) > 1 else 2 * tuple(found)
    window = next(iter(stores.values())).window_rows
    for size in dict.fromkeys((small, large)):
        name = f"{kind}: seconds of a check over {window:,} rows, {size} recorded"
        yield claim_line(name, [check.total_s for check in found[size]], at_most(MOST_S))
    if small != large:
        told = ratios([check.total_s for check in found[large]], [check.total_s for check in found[small]])
        yield claim_line(f"{kind}: time with {large} recorded to {small}", told, at_most(MOST_RATIO))
    with_page = check_timed(stores[max(stores)], asked=True)
    yield figure_line(f"{kind}, {large} recorded: a check whose page is drawn", with_page.total_s, "s")


@contextmanager
def _filled(kind: str, settings: Settings, rows: int, window_rows: int, rounds: int) -> Iterator[Recorded]:
    """So many rows that there are `rows` when the last round begins."""
    a_check = window_rows / ((1 - 1 / OTHER_EVERY) * (1 - 1 / LOW_SCORE_EVERY))
    loaded = rows - round((rounds + 1) * a_check)
    if loaded < window_rows:
        raise SystemExit(f"{rows:,} rows are too few for {rounds + 1} checks of {window_rows:,}")
    began = time.perf_counter()
    with recorded(settings, loaded, window_rows=window_rows) as store:
        took = time.perf_counter() - began
        tell(f"{kind}, {rows:,} recorded: {loaded:,} of them loaded in {took:.0f} s, the others before the checks")
        yield store


def _require_room(kind: str, sizes: Sequence[int], folder: Path) -> None:
    needed, free = bytes_a_row(kind) * sum(sizes), shutil.disk_usage(folder).free
    tell(f"{kind}: about {needed / 2**30:.1f} GiB will be written, {free / 2**30:.0f} GiB are free")
    if 2 * needed > free:
        raise SystemExit("too little room: twice as much must be free; ask for fewer --rows")


def _why_not(kind: str, url: str | None) -> str | None:
    """Why this database cannot be measured here; None if it can."""
    if kind == "sqlite":
        return None
    if kind != "postgresql":
        return "the store is on sqlite or postgresql"
    try:
        from benchmarks import postgres
    except ImportError as error:
        return f"{error}; pip install 'driftgate[postgres]'"
    return postgres.why_not() if url is None else None


@contextmanager
def _settings(kind: str, folder: Path, window_rows: int, url: str | None) -> Iterator[Callable[[int], Settings]]:
    """Makes the settings of an empty store for so many rows."""

    def made(rows: int, database_url: str | None = None) -> Settings:
        home = folder / f"home-{rows}"
        return load_settings(home=home, database_url=database_url, window_rows=window_rows)

    if kind == "sqlite":
        yield made
        return
    with _new_databases(url) as create:
        yield lambda rows: made(rows, create(f"driftgate-bench-{rows}"))


@contextmanager
def _new_databases(url: str | None) -> Iterator[Callable[[str], str]]:
    """Makes databases and returns their URLs, on the server behind `url` or on one that is started for it."""
    import psycopg

    from benchmarks.postgres import Postgres

    if url is None:
        server = Postgres(durable=True)
        try:
            server.start()
            yield server.create
        finally:
            server.remove()
        return
    made: list[str] = []
    server_url = make_url(url).set(drivername="postgresql")

    def execute(statement: str) -> None:
        with psycopg.connect(server_url.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]  # psycopg wants a literal

    def create(name: str) -> str:
        execute(f'CREATE DATABASE "{name}"')
        made.append(name)
        return server_url.set(database=name).render_as_string(hide_password=False)

    try:
        yield create
    finally:
        for name in made:
            execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _adding_time(call: Callable[..., Any], stage_s: dict[str, float], stage: str) -> Callable[..., Any]:
    def timed(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return call(*args, **options)
        finally:
            stage_s[stage] += time.perf_counter() - began

    return timed


def _median(seconds: Sequence[float]) -> str:
    return f"{sorted(seconds)[len(seconds) // 2]:.3f}"


if __name__ == "__main__":
    main()

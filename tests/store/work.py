"""How much work the database does for an answer: the same on every machine, unlike the time it takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Session

from store.database import Database


@dataclass
class Work:
    """SQLite: steps of its virtual machine. PostgreSQL: rows that a plan looked at, and blocks that it read."""

    done: int = 0


def work_for(database: Database, ask: Callable[[Session], object]) -> int:
    """What one question costs. PostgreSQL is kept from reading tables whole, as it does while they are small."""
    if database.engine.dialect.name == "sqlite":
        with counting_steps(database) as work, database.read() as session:
            ask(session)
        return work.done
    with database.read() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        asked: list[tuple[str, Any]] = []
        connection = session.connection()

        def note(_: Connection, cursor: object, statement: str, parameters: Any, context: object, many: bool) -> None:
            asked.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", note)
        ask(session)
        return sum(_work_of_plan(connection, statement, parameters) for statement, parameters in tuple(asked))


@contextmanager
def counting_steps(database: Database) -> Iterator[Work]:
    """Counts what all connections to an SQLite database do, but for those that are in a transaction already."""
    work = Work()

    def step() -> None:
        work.done += 1

    def watch(connection: Connection) -> None:
        connection.connection.driver_connection.set_progress_handler(step, 1)

    event.listen(database.engine, "begin", watch)
    try:
        yield work
    finally:
        event.remove(database.engine, "begin", watch)
        database.engine.dispose()  # the next connections are not watched


def _work_of_plan(connection: Connection, statement: str, parameters: Any) -> int:
    explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
    plan = explained.scalar_one()[0]["Plan"]
    return _rows_looked_at(plan) + plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def _rows_looked_at(plan: dict[str, Any]) -> int:
    looked_at = 0
    if "Relation Name" in plan:
        seen = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        looked_at = round(sum(plan.get(name, 0) for name in seen) * plan["Actual Loops"])
    return looked_at + sum(_rows_looked_at(inner) for inner in plan.get("Plans", ()))

"""Reads verdicts from a person's file, JSONL or CSV, and checks every row before anything is stored.

What `driftgate feedback export` writes can be corrected in a spreadsheet and comes back through here.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from store.errors import BadInput

FIELDS = ("prediction_id", "label", "correct", "input", "comment", "by", "origin")
EXPORTED = ("model", "version", "text", "predicted", "inclusion", "at")
"""Columns of our own export that say nothing new; only `text` is used, for a prediction that was not recorded."""
_SHOWN_ERRORS = 20

RawRow = dict[str, Any]
T = TypeVar("T")


def read_raw_rows(path: Path) -> list[tuple[int, RawRow]]:
    """Rows with their numbers, from 1 and without the header; cells that are empty are left out. Raises BadInput."""
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise BadInput(f"{path}: cannot tell its format from suffix {path.suffix!r}; save it as .jsonl or .csv")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: byte at offset {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
    rows = list(read(path, text))
    if not rows:
        raise BadInput(f"{path} has no rows; a row needs a prediction_id, and a label or whether it was correct")
    unknown = sorted({name for _, row in rows for name in row} - {*FIELDS, *EXPORTED})
    if unknown:
        raise BadInput(f"{path} has unknown columns {', '.join(map(repr, unknown))}; known: {', '.join(FIELDS)}")
    return rows


def check_rows(path: Path, rows: Iterable[tuple[int, RawRow]], check: Callable[[RawRow], T]) -> list[T]:
    """Every row through `check`; raises one BadInput that tells all that failed, by number."""
    checked: list[T] = []
    problems: list[str] = []
    for number, row in rows:
        try:
            checked.append(check(row))
        except BadInput as error:
            problems.append(f"row {number}: {error}")
    if problems:
        told = "; ".join(problems[:_SHOWN_ERRORS])
        more = f"; and {len(problems) - _SHOWN_ERRORS} more" if len(problems) > _SHOWN_ERRORS else ""
        raise BadInput(f"{path}: nothing was imported, {len(problems)} of its rows cannot be used: {told}{more}")
    return checked


def _read_jsonl(path: Path, text: str) -> Iterator[tuple[int, RawRow]]:
    lines = [line for line in text.split("\n") if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadInput(f"{path}, row {number}: not JSON: {error}; write one object a line") from None
        if not isinstance(row, dict):
            raise BadInput(f"{path}, row {number}: not an object; write one object a line")
        yield number, {name: value for name, value in row.items() if value is not None}


def _read_csv(path: Path, text: str) -> Iterator[tuple[int, RawRow]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for number, cells in enumerate(reader, start=1):
            if None in cells or None in cells.values():
                raise BadInput(f"{path}, row {number}: it has not as many cells as the header has names")
            yield number, {name: value for name, value in cells.items() if value}
    except csv.Error as error:
        raise BadInput(
            f"{path}, line {reader.line_num}: {error}; look for a double quote that is never closed"
        ) from None


def truth(value: object) -> object:
    """A spreadsheet's way to say true or false as a truth value; anything else stays what it is."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return known.get(value.strip().lower(), value) if isinstance(value, str) else value

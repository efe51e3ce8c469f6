"""Labelled rows, and how they are read from a person's file: CSV, JSONL or Parquet.

Nothing is guessed and nothing is dropped: a label `NA` or `007` stays those very characters, and a cell that is
empty stays "" for `retrain.audit` to report. What cannot be read at all is refused, with the place where it is.
"""

import csv
import gzip
import io
import json
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from store.errors import BadInput


@dataclass(frozen=True, slots=True)
class Row:
    """One text with its label, and how it came to us."""

    text: str
    label: str
    origin: str = "seed"
    """seed (a person's file), audit (drawn at random) or flagged: flagged rows teach, they never measure."""
    split: str | None = None
    """train, validation or test; None until `retrain.split` has placed it."""
    inclusion: float | None = None
    """Probability with which an audit row was drawn, above 0 and at most 1."""
    prediction_id: str | None = None
    feedback_seq: int | None = None
    """Feedback.seq of the verdict that gave the label."""
    entity: str | None = None
    """Customer, thread or document that the row belongs to; rows of one never lie in two splits."""
    at: str | None = None
    """When the text came in: ISO 8601 in UTC, such that strings sort as times do."""

    @property
    def group(self) -> str:
        """Rows of one group are the same text, and never lie in two splits."""
        return group_key(self.text)


def group_key(text: str) -> str:
    """The text without differences that no reader would see: NFKC, case folded, white space collapsed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())  # folding can undo the normal form


def read_rows(
    path: Path,
    *,
    text_column: str = "text",
    label_column: str = "label",
    group_column: str | None = None,
    time_column: str | None = None,
    split_column: str | None = None,
) -> list[Row]:
    """The rows of a file, in its order; row numbers elsewhere count from 1 and leave out the header.

    Kinds by suffix: .csv, .jsonl (both also with .gz) and .parquet; text is UTF-8. A time without a zone is UTC, and
    every row must have one; a row without a group belongs to nobody else, one without a split is placed by
    `retrain.split`. Raises BadInput.
    """
    named = {"entity": group_column, "at": time_column, "split": split_column}
    further = {field: column for field, column in named.items() if column is not None}
    read = _reader_for(path)
    _require_file(path)
    cells = read(path, (text_column, label_column, *further.values()))
    if not cells:
        raise BadInput(f"{path} has no rows; it needs at least one with {text_column!r} and {label_column!r}")
    rows = []
    for number, (text, label, *others) in enumerate(cells, start=1):
        found = {field: _READ_AS[field](cell) for field, cell in zip(further, others, strict=True)}
        for (field, column), cell in zip(further.items(), others, strict=True):
            if found[field] is None and (cell.strip() or field == "at"):
                raise BadInput(f"{path}, row {number}: {column!r} is {cell[:60]!r}; it must be {_MUST_BE[field]}")
        rows.append(Row(text, label, split=found.get("split"), entity=found.get("entity"), at=found.get("at")))
    return rows


def read_labels(path: Path) -> list[str]:
    """The labels that rows may have, one a line; blank lines do not count. Raises BadInput."""
    _require_file(path)
    labels = [
        line.strip()
        for line in _read_text(path, needs="the labels that rows may have, one a line").splitlines()
        if line.strip()
    ]
    return list(dict.fromkeys(labels))


def _as_entity(cell: str) -> str | None:
    return cell.strip() or None


def _as_time(cell: str) -> str | None:
    try:
        read = datetime.fromisoformat(cell.strip())
    except ValueError:
        return None
    try:
        at = read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except OverflowError:  # the year 1 with a zone
        return None
    return at.isoformat(timespec="microseconds")


def _as_split(cell: str) -> str | None:
    return _SPLIT_NAMES.get(cell.strip().casefold())


_READ_AS: dict[str, Callable[[str], str | None]] = {"entity": _as_entity, "at": _as_time, "split": _as_split}
_MUST_BE = {
    "entity": "a name",
    "at": "a time in ISO 8601, such as 2026-11-02 or 2026-11-02T08:30:00+01:00",
    "split": "train, validation (or val, valid, dev) or test",
}
_SPLIT_NAMES = {
    "train": "train",
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    "test": "test",
}

_Cells = list[tuple[str, ...]]
"""Of each row, in the order of the columns that were asked for."""


def _reader_for(path: Path) -> Callable[[Path, tuple[str, ...]], _Cells]:
    readers = {
        ".csv": _read_csv,
        ".csv.gz": _read_csv,
        ".jsonl": _read_jsonl,
        ".jsonl.gz": _read_jsonl,
        ".parquet": _read_parquet,
    }
    name = path.name.lower()
    for suffix, read in readers.items():
        if name.endswith(suffix):
            return read
    known = ", ".join(readers)
    raise BadInput(f"{path}: cannot tell its format from suffix {path.suffix!r}; save it as one of {known}")


def _require_file(path: Path) -> None:
    if path.is_file():
        return
    if path.exists():
        raise BadInput(f"{path} is not a file; name the data file itself")
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, siblings, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "check the path"
    raise BadInput(f"there is no file {path}; {hint}")


def _read_text(path: Path, *, needs: str = "a text and a label column") -> str:
    """The whole file, unpacked and decoded. Raises BadInput for an empty, damaged or non-UTF-8 file."""
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz") and data:
            data = gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"{path} is not a whole gzip file: {error}; pack it again") from None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
    if not data.strip():
        raise BadInput(f"{path} is empty; it needs {needs}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start} (line {line}); "
            "save it as UTF-8, for example: iconv -f latin1 -t utf-8"
        ) from None


def _read_csv(path: Path, columns: tuple[str, ...]) -> _Cells:
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    found: _Cells = []
    try:
        header = next(reader)
        _require_columns(path, header, columns)
        at = [header.index(column) for column in columns]
        for cells in reader:
            if not cells:  # a blank line
                continue
            if len(cells) > len(header):
                raise BadInput(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, but the header has {len(header)}; "
                    'put a text that holds a comma into double quotes ("...")'
                )
            cells += [""] * (len(header) - len(cells))
            found.append(tuple(cells[place] for place in at))
    except csv.Error as error:
        advice = "look for a double quote that is opened and never closed"
        if "limit" in str(error):
            advice += "; save texts that really are that long as JSONL"
        raise BadInput(f"{path}, line {reader.line_num}: {error}; {advice}") from None
    return found


def _read_jsonl(path: Path, columns: tuple[str, ...]) -> _Cells:
    objects: list[tuple[int, dict[str, Any]]] = []
    names: dict[str, None] = {}  # every key of the file, in order of appearance
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadInput(f"{path}, line {number}: not JSON: {error}; write one object a line") from None
        if not isinstance(found, dict):
            raise BadInput(f"{path}, line {number}: a {_json_kind(found)}, not an object; write one object a line")
        names.update(dict.fromkeys(found))
        objects.append((number, found))
    _require_columns(path, list(names), columns)
    return [
        tuple(_as_text(found.get(column), f"{path}, line {number}, {column!r}") for column in columns)
        for number, found in objects
    ]


def _read_parquet(path: Path, columns: tuple[str, ...]) -> _Cells:
    import pyarrow as pa  # slow to import, and only this kind of file needs it
    import pyarrow.parquet as pq

    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty; it needs a text and a label column")
    try:
        _require_columns(path, pq.read_schema(path).names, columns)
        table = pq.ParquetFile(path).read(columns=list(dict.fromkeys(columns)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise BadInput(f"{path} is not a Parquet file that can be read: {error}; write it again") from None
    read = []
    for column in columns:
        values = table[column]
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("us", values.type.tz), safe=False)  # what datetime can hold
        read.append([_as_text(value, f"{path}, row {n}, {column!r}") for n, value in enumerate(values.to_pylist(), 1)])
    return list(zip(*read, strict=True))


def _require_columns(path: Path, found: Sequence[str], wanted: tuple[str, ...]) -> None:
    for column in wanted:
        if found.count(column) > 1:
            raise BadInput(f"{path} has {found.count(column)} columns named {column!r}; rename all but one")
    missing = [column for column in wanted if column not in found]
    if not missing:
        return
    near = [name for column in missing for name in get_close_matches(column.casefold(), found, n=2, cutoff=0.5)]
    near += [name for column in missing for name in found if name.strip().casefold() == column.casefold()]
    hint = f"; did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ""
    if len(found) == 1 and any(mark in found[0] for mark in ";\t|"):
        hint = "; its cells seem to be separated by something else: save it with commas"
    shown = ", ".join(map(repr, found[:20])) + (", ..." if len(found) > 20 else "")
    raise BadInput(
        f"{path} has no column {' and no column '.join(map(repr, missing))}; it has {shown}{hint} "
        "(--text-column, --label-column and the like name others)"
    )


def _as_text(value: object, where: str) -> str:
    """A cell as a string: nothing is "", numbers and truth values as JSON writes them. Raises BadInput."""
    if value is None or value != value:  # NaN is how many tools write nothing
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    if not isinstance(value, str):
        raise BadInput(f"{where} is a {_json_kind(value)}, not a text: {str(value)[:60]!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{where} holds half of a surrogate pair at character {error.start}; mend that text") from None
    return value


def _json_kind(value: object) -> str:
    kinds = {list: "list", dict: "object", str: "string", bool: "truth value", int: "number", float: "number"}
    return kinds.get(type(value), "null" if value is None else type(value).__name__)

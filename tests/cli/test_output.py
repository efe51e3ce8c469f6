import io
import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.output import cell, facts, printable, show, table


def drawn(part):
    written = io.StringIO()
    Console(file=written, width=200, markup=False).print(part)
    return written.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (0.123456, "0.1235"),
        ([], "-"),
        (["a", 1], "a, 1"),
        ({"a": 0.5, "b": None}, "a=0.5, b=-"),
        (datetime(2026, 11, 3, 4, 5, 6, tzinfo=UTC), "2026-11-03 04:05:06 UTC"),
    ],
)
def test_values_are_shown_as_people_read_them(value, shown):
    assert cell(value) == shown


def test_what_json_cannot_say_becomes_null(capsys):
    show({"loss": math.nan, "by_step": [1.0, math.inf], "deep": {"x": (-math.inf,)}}, as_json=True)
    out = capsys.readouterr().out
    assert json.loads(out) == {"loss": None, "by_step": [1.0, None], "deep": {"x": [None]}}
    assert out.count("\n") == 1


@given(st.text())
def test_no_text_reaches_the_terminal_as_a_command(text):
    assert all(c.isprintable() or c == "\n" for c in printable(text))


def test_numbers_stand_to_the_right_and_markup_is_text():
    lines = drawn(table(("name", "rows"), [("[bold]a", 5), ("b", 12_345)])).splitlines()
    assert [line.rstrip().endswith(end) for line, end in zip(lines[2:], ("    5", "12345"), strict=True)] == [
        True,
        True,
    ]
    assert "[bold]a" in lines[2]


def test_a_pipe_gets_long_cells_in_one_piece(capsys):
    show({}, table(("text",), [("word " * 500,)]), facts({"name": "x" * 3000}), as_json=False)
    out = capsys.readouterr().out
    assert "x" * 3000 in out
    assert ("word " * 500).strip() in out
    assert max(len(line) for line in out.splitlines()) < 4000


def test_a_table_without_rows_says_so():
    assert drawn(table(("a",), [], empty="nothing yet")).strip() == "nothing yet"

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.load.chart import latency_chart
from cli.load.level import Level
from cli.load.picture import latency_picture

LEVELS = [Level(1, 100, 240.5, 0.004, 0.005, 0.006, 0), Level(64, 900, 1_486.0, 0.130, 0.2, 1.4, 3)]
SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]  # noqa: S314  # our own


def test_the_picture_names_its_axes_lines_and_loads():
    said = texts(latency_picture(LEVELS, title="tickets at 127.0.0.1:8080"))
    assert {"Latency against load", "tickets at 127.0.0.1:8080", "p50", "p99", "1", "64", "240/s", "1,486/s"} <= set(
        said
    )
    assert any("ms (log scale)" in text for text in said)


def test_the_picture_stands_alone_and_fits_light_and_dark():
    picture = latency_picture(LEVELS, title="x")
    assert "prefers-color-scheme: dark" in picture
    assert picture.count("http") == 1, "nothing is fetched; the one address is the namespace"


def test_a_title_cannot_break_out():
    assert "<script>" not in latency_picture(LEVELS, title="<script>alert(1)</script>")


seconds = st.floats(1e-5, 500, allow_nan=False)


@given(st.lists(st.tuples(seconds, seconds), max_size=12), st.booleans())
def test_every_point_lies_within_the_picture(pairs, silent):
    levels = [Level(i + 1, 10, 5.0, min(p), max(p), max(p), 0) for i, p in enumerate(pairs)]
    nothing = float("nan")
    levels += [Level(99, 0, 0.0, nothing, nothing, nothing, 5)] if silent else []
    root = ElementTree.fromstring(latency_picture(levels, title="x"))  # noqa: S314  # our own
    circles = list(root.iter(f"{SVG}circle"))
    assert len(circles) == 2 * len(pairs)
    assert all(78 <= float(c.get("cx", 0)) <= 696 and 78 <= float(c.get("cy", 0)) <= 354 for c in circles)
    latency_chart(levels)


def test_the_chart_has_a_line_a_load():
    console = Console(width=120, color_system=None)
    with console.capture() as drawn:
        console.print(latency_chart(LEVELS))
    lines = drawn.get().rstrip().splitlines()
    assert lines[1].endswith("4.0 to 6.0 ms")
    assert lines[2].endswith("130.0 to 1400.0 ms")


@pytest.mark.parametrize("levels", [[], [Level(1, 0, 0.0, float("nan"), float("nan"), float("nan"), 9)]])
def test_nothing_answered_is_said(levels):
    assert "nothing was answered" in latency_picture(levels, title="x")
    assert "nothing was answered" in str(latency_chart(levels))

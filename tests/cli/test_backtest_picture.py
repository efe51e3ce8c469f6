from xml.etree import ElementTree

import pytest

from cli.backtest_picture import backtest_picture
from monitor.decision import DriftDecision, Evidence, Verdict

SVG = "{http://www.w3.org/2000/svg}"


def window(p_value: float, verdict: Verdict) -> DriftDecision:
    signals = {
        "data_quality": Evidence(1.0, 0.002, drifted=False),
        "length": Evidence(p_value, 0.002, drifted=p_value <= 0.002),
    }
    return DriftDecision(verdict, (), signals, "because <b>it</b> is so")


WINDOWS = [window(0.4, Verdict.STABLE), window(1e-4, Verdict.SUSPECTED), window(0.0, Verdict.DRIFT)]


def shapes(picture: str, kind: str) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(picture).iter(f"{SVG}rect")  # noqa: S314  # our own
    return [rect for rect in found if rect.get("class") == kind]


def test_every_window_has_a_bar_a_signal_and_the_colour_of_its_verdict() -> None:
    picture = backtest_picture(WINDOWS, title="x")
    assert len(shapes(picture, "calm")) + len(shapes(picture, "alarm")) == 2 * len(WINDOWS)
    assert len(shapes(picture, "alarm")) == 2
    # one rect each in the row of verdicts, and one in the legend
    assert [len(shapes(picture, kind)) for kind in ("stable", "suspected", "drift")] == [2, 2, 2]


def test_a_bar_reaches_the_line_when_it_is_an_alarm_and_never_leaves_its_row() -> None:
    at_the_line = backtest_picture([window(0.002, Verdict.SUSPECTED)], title="x")
    beyond = backtest_picture([window(0.0, Verdict.DRIFT)], title="x")
    (bar,), (tall,) = shapes(at_the_line, "alarm"), shapes(beyond, "alarm")
    line = max(float(line.get("y1", 0)) for line in dashed(at_the_line))
    assert float(bar.get("y", 0)) == pytest.approx(line, abs=0.1)
    assert float(tall.get("height", 0)) == pytest.approx(2 * float(bar.get("height", 0)))


def dashed(picture: str) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(picture).iter(f"{SVG}line")  # noqa: S314  # our own
    return [line for line in found if line.get("class") == "line"]


def test_nothing_that_is_told_can_break_out() -> None:
    picture = backtest_picture(WINDOWS, title="<script>alert(1)</script>")
    assert "<script>" not in picture
    assert "<b>" not in picture
    assert picture.count("http") == 1, "nothing is fetched; the one address is the namespace"

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.decision import DriftRules, column_thresholds
from monitor.report import compare, harmless
from monitor.signals import Signals, signals_of
from monitor.two_sample import measure
from tests.monitor.traffic import DRIFTED, LABELS, Source, as_reference, as_window, draw

RULES = DriftRules()


def compared(source: Source, *, labels: tuple[str, ...] = LABELS, seed: int = 1) -> Signals:
    rng = np.random.default_rng(seed)
    reference = replace(as_reference(draw(Source(), 300, rng)), labels=labels)
    return signals_of(reference, as_window(draw(source, 150, rng)))


@pytest.mark.parametrize("source", [Source(), Source(topic_shift=0.1), DRIFTED])
def test_evidently_computes_the_very_p_values_that_the_error_rates_were_measured_on(source: Source) -> None:
    signals = compared(source)
    report = compare(signals, column_thresholds(signals.columns, RULES))
    measured = {column: found.p_value for column, found in measure(signals).items()}
    assert report.p_values == pytest.approx(measured, rel=1e-12)


def test_the_page_names_every_column_and_draws_the_line_of_the_verdict(tmp_path: Path) -> None:
    signals = compared(DRIFTED)
    compare(signals, column_thresholds(signals.columns, RULES)).write_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for column in signals.columns:
        assert f"Drift in column '{column}'" in page
    assert "Data drift detected. Drift detection method: homogeneity" in page
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?http", page), "the page must work offline"


def test_signals_that_never_vary_are_no_trouble() -> None:
    signals = compared(Source())
    still = {name: np.zeros_like(values) for name, values in signals.current.items()}
    before = {name: np.zeros_like(values) for name, values in signals.reference.items()}
    report = compare(Signals(LABELS, before, still), column_thresholds(signals.columns, RULES))
    assert set(report.p_values.values()) == {1.0}


def test_a_label_cannot_run_a_script_in_the_browser_of_the_watcher(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    signals = compared(Source(), labels=(evil, "", "nan", 'a "quoted" one'))
    compare(signals, column_thresholds(signals.columns, RULES)).write_html(tmp_path / "report.html")
    assert "<script>alert(1)" not in (tmp_path / "report.html").read_text()


def test_harmless_labels_stay_different() -> None:
    shown = harmless(["<a>", "\u2039a\u203a", "a"])
    assert len(set(shown)) == 3
    assert shown[2] == "a"


def test_nothing_calls_home_and_no_warning_escapes(tmp_path: Path) -> None:
    """In a process of its own: Evidently imported from scratch, sockets forbidden, warnings as errors."""
    script = f"""
import socket, sys
from pathlib import Path
def refuse(*a, **k): raise SystemExit("tried to reach the network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from tests.monitor.test_report import compared, RULES
from tests.monitor.traffic import DRIFTED
from monitor.report import compare
from monitor.decision import column_thresholds
signals = compared(DRIFTED)
compare(signals, column_thresholds(signals.columns, RULES)).write_html(Path({str(tmp_path)!r}) / "r.html")
assert "iterative_telemetry" not in sys.modules, "telemetry was imported"
"""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from monitor.decision import DriftDecision, DriftRules, decide_drift
from monitor.joint_test import Deals, joint_test
from monitor.report import draw_report, harmless
from monitor.signals import Signals, signals_of
from tests.monitor.traffic import DRIFTED, LABELS, Source, as_reference, as_window, draw


def judged(source: Source, *, labels: tuple[str, ...] = LABELS, seed: int = 1) -> tuple[Signals, DriftDecision]:
    rng = np.random.default_rng(seed)
    reference = replace(as_reference(draw(Source(), 300, rng)), labels=labels)
    signals = signals_of(reference, as_window(draw(source, 150, rng)))
    return signals, decided(signals)


def decided(signals: Signals) -> DriftDecision:
    p_values = {name: found.p_value for name, found in joint_test(signals, Deals(300, 150, permutations=499)).items()}
    return decide_drift(p_values, 150, [], DriftRules())


def page_of(signals: Signals, drift: DriftDecision, folder: Path) -> str:
    draw_report(signals, drift).write_page(folder / "report.html")
    return (folder / "report.html").read_text()


def test_the_page_names_every_signal_and_says_what_the_verdict_says(tmp_path: Path) -> None:
    signals, drift = judged(DRIFTED)
    page = page_of(signals, drift, tmp_path)
    for name in signals.by_name:
        assert f"Drift in column '{name}'" in page
    assert page.count("Data drift detected. Drift detection method: permuted jointly") == len(drift.drifted) > 0
    calm = page.count("Data drift not detected. Drift detection method: permuted jointly")
    assert calm == len(drift.signals) - len(drift.drifted)
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?http", page), "the page must work offline"


def test_signals_that_never_vary_are_no_trouble(tmp_path: Path) -> None:
    signals, _ = judged(Source())
    still = {
        name: replace(signal, features=np.zeros_like(signal.features), drawn=np.zeros_like(signal.drawn))
        for name, signal in signals.by_name.items()
    }
    signals = replace(signals, by_name=still)
    drift = decided(signals)
    assert {evidence.p_value for evidence in drift.signals.values()} == {1.0}
    assert "Data drift detected" not in page_of(signals, drift, tmp_path)


def test_a_label_cannot_run_a_script_in_the_browser_of_the_watcher(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    signals, drift = judged(Source(), labels=(evil, "", "nan", 'a "quoted" one'))
    assert "<script>alert(1)" not in page_of(signals, drift, tmp_path)


def test_harmless_labels_stay_different() -> None:
    shown = harmless(["<a>", "\u2039a\u203a", "a"])
    assert len(set(shown)) == 3
    assert shown[2] == "a"


def test_nothing_calls_home_and_no_warning_escapes(tmp_path: Path) -> None:
    """In a process of its own: Evidently imported from scratch, sockets forbidden, warnings as errors."""
    script = f"""
import socket, sys, uuid
from datetime import UTC, datetime
from pathlib import Path
def refuse(*a, **k): raise SystemExit("tried to reach the network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from tests.monitor.test_report import judged
from tests.monitor.traffic import DRIFTED
from monitor.report import draw_report, project_json
drawing = draw_report(*judged(DRIFTED))
drawing.write_page(Path({str(tmp_path)!r}) / "r.html")
drawing.as_run("check", at=datetime.now(UTC), metadata={{}}, tags=[])
project_json(uuid.uuid4(), "tickets")
assert "iterative_telemetry" not in sys.modules, "telemetry was imported"
"""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr

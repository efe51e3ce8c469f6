"""Real time order: what the monitor would have said of data that came as it came.

GoEmotions in order of posting, in which next to nothing happens, and CISA's catalogue of exploited vulnerabilities, in
which much does. The model learns from a random part of the first rows, the others of them are its reference, and all
that came later is played to the check, window after window.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame import begin, options, tell
from benchmarks.public_data import Featured, Served, answered_by, featured, reference_of, unique_rows
from cli.backtest_picture import backtest_picture
from monitor.backtest import Judged, judge_windows, summarise, window_of, windows_in_order
from monitor.decision import DriftDecision, DriftRules, Verdict
from retrain.calibrate import fit_temperature
from store.reference import Reference


@dataclass(frozen=True, slots=True)
class Stream:
    first_rows: int
    """Of the data, from which come training and reference."""
    train_rows: int
    window_rows: int


STREAMS = {
    "goemotions": Stream(first_rows=10_000, train_rows=8_000, window_rows=1_000),
    "cisa_kev": Stream(first_rows=500, train_rows=300, window_rows=100),
}


def main() -> None:
    parser = options("drift_in_order", __doc__)
    parser.add_argument("--sets", default=",".join(STREAMS), help="with commas (default: %(default)s)")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write what was said of each set as NAME.svg")
    asked = begin(parser)
    for name in asked.sets.split(","):
        tell(f"{name}, in order of time")
        decisions = _play(featured(name), STREAMS[name])
        if asked.pictures is not None:
            picture = backtest_picture(decisions, title=f"{name}, {len(decisions)} windows in order of time")
            (asked.pictures / f"{name}.svg").write_text(picture)


def _play(data: Featured, stream: Stream) -> list[DriftDecision]:
    early = unique_rows(data)[: stream.first_rows]
    held = answered_by(data, np.random.default_rng(0).permutation(early)[: stream.train_rows])
    known = stream.first_rows - stream.train_rows
    reference = _calibrated(reference_of(held, np.arange(known)))
    draws = windows_in_order(len(held.entries) - known, window_rows=stream.window_rows)
    rows = [known + draw.own for draw in draws]
    rules = DriftRules()
    judged = list(judge_windows(reference, (window_of(one, held.scored) for one in rows), rules, streams=False))
    tell(f"validation accuracy {reference.accuracy:.3f} on {reference.rows:,} rows")
    for one, window in zip(rows, judged, strict=True):
        tell(_line(held, one, window))
    found = summarise(judged, window_rows=stream.window_rows, streams=False)
    low, high = found.interval
    tell(
        f"{found.alarms} of {found.windows} windows of {found.window_rows:,} differ: {found.rate:.1%} "
        f"[{low:.1%} to {high:.1%}], {found.confirmed} confirmed"
    )
    return [window.decision for window in judged]


def _calibrated(reference: Reference) -> Reference:
    return replace(reference, temperature=fit_temperature(reference.probabilities, reference.true_label))


def _line(held: Served, rows: NDArray[np.int64], window: Judged) -> str:
    right = float(np.mean(held.scored.probabilities[rows].argmax(axis=1) == held.true_label[rows]))
    when = " to ".join(filter(None, (held.entries[rows[0]].domain, held.entries[rows[-1]].domain)))
    verdict = window.decision.verdict
    said = verdict.value if verdict is Verdict.STABLE else f"{verdict.value}: {', '.join(window.decision.drifted)}"
    return f"  {when or f'rows from {rows[0]:,}'}: {said}; accuracy {right:.3f}, estimated {window.estimated}"


if __name__ == "__main__":
    main()

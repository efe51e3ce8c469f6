"""False alarms: windows in which nothing drifted, against references of many sizes.

Reference and window are drawn anew for each trial, from rows of a public data set that did not train the model: what
a check states is its rate over references. Evidently's default preset judges some of the same pairs.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.frame import begin, options, tell
from benchmarks.public_data import OUT_OF_SCOPE, Entry, Served, featured, reference_of, served
from engine.cores import usable_cores
from monitor.backtest import exact_interval, window_of
from monitor.joint_test import deals_for, joint_test
from monitor.signals import LABEL, Signals, signals_of

SETS = {"clinc150": 7_500, "goemotions": 10_000, "snips": 3_000}
"""Rows that train the model, by name."""
WINDOWS = (100, 200, 500, 1_000)
REFERENCES = (300, 1_000, 5_000)
RATES = (0.01, 0.05)
_OF_ALL = 1 - 0.05 / (len(SETS) * len(WINDOWS) * len(REFERENCES) * len(RATES))
"""Coverage of each interval that a figure is judged by: all of them hold together in 95 % of runs."""


@dataclass(frozen=True, slots=True)
class Cell:
    data: str
    window_rows: int
    reference_rows: int
    windows: int
    default_windows: int
    """Of them, that Evidently's default preset judges as well."""


@dataclass(frozen=True, slots=True)
class Found:
    alarms: dict[float, int]
    """Of ours, by stated rate."""
    default_alarms: int


_held: dict[str, Served] = {}


def main() -> None:
    parser = options("drift_alarms", __doc__)
    parser.add_argument("--sets", default=",".join(SETS), help="with commas (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=1_000, help="for each size and set (default: %(default)s)")
    parser.add_argument("--default-windows", type=int, default=20, help="of them, for Evidently's preset")
    asked = begin(parser)
    names = asked.sets.split(",")
    for name in names:
        featured(name)  # so that the processes find it
    cells = [
        Cell(name, window, reference, asked.windows, asked.default_windows)
        for name in names
        for reference in REFERENCES
        for window in WINDOWS
    ]
    totals = dict.fromkeys(RATES, 0)
    with ProcessPoolExecutor(usable_cores(), initializer=threadpool_limits, initargs=(1,)) as pool:
        for cell, found in zip(cells, pool.map(judge, cells), strict=True):
            tell(_line(cell, found))
            for rate in RATES:
                totals[rate] += found.alarms[rate]
    trials = sum(cell.windows for cell in cells)
    for rate in RATES:
        low, high = exact_interval(totals[rate], trials)
        kept = "" if low <= rate else ", MISSED"
        tell(
            f"all sets and sizes, stated rate {rate:.0%}{kept}: {totals[rate] / trials:.2%} "
            f"[{low:.2%} to {high:.2%}] of {trials:,} windows"
        )


def judge(cell: Cell) -> Found:
    """Seeded by the cell: the same cell finds the same."""
    held = _held_in(cell.data)
    rng = np.random.default_rng([*cell.data.encode(), cell.window_rows, cell.reference_rows])
    alarms = dict.fromkeys(RATES, 0)
    default_alarms = 0
    deals = deals_for(cell.reference_rows, cell.window_rows, min(RATES))
    for number in range(cell.windows):
        taken = rng.permutation(len(held.entries))[: cell.reference_rows + cell.window_rows]
        signals = signals_of(
            reference_of(held, taken[: cell.reference_rows]), window_of(taken[cell.reference_rows :], held.scored)
        )
        smallest = min(found.p_value for found in joint_test(signals, deals).values())
        for rate in RATES:
            alarms[rate] += smallest <= rate
        if number < cell.default_windows:
            default_alarms += drifted_columns_by_default(signals) > 0
    return Found(alarms, default_alarms)


def drifted_columns_by_default(signals: Signals) -> int:
    """Columns that Evidently's data drift preset calls drifted, with everything left to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports as well
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        frame = pd.DataFrame({name: signal.drawn for name, signal in signals.by_name.items()}).astype({LABEL: str})
        definition = DataDefinition(
            numerical_columns=[name for name in frame if name != LABEL], categorical_columns=[LABEL]
        )
        reference, window = (
            Dataset.from_pandas(part, data_definition=definition)
            for part in (frame.iloc[: signals.reference_rows], frame.iloc[signals.reference_rows :])
        )
        run = Report([DataDriftPreset()]).run(window, reference)
    return _drifted_count(run.dict()["metrics"])


def _drifted_count(metrics: Sequence[dict[str, object]]) -> int:
    for metric in metrics:
        value = metric["value"]
        if isinstance(value, dict) and "count" in value:
            return int(value["count"])
    raise LookupError("Evidently's preset told no count of drifted columns")


def _held_in(name: str) -> Served:
    if name not in _held:
        _held.clear()
        _held[name] = served(featured(name), train_rows=SETS[name], known=_in_scope).only(_in_scope)
    return _held[name]


def _in_scope(entry: Entry) -> bool:
    return entry.domain != OUT_OF_SCOPE


def _line(cell: Cell, found: Found) -> str:
    said = []
    for rate in RATES:
        low, high = exact_interval(found.alarms[rate], cell.windows)
        missed = ", MISSED" if exact_interval(found.alarms[rate], cell.windows, coverage=_OF_ALL)[0] > rate else ""
        said.append(f"{found.alarms[rate] / cell.windows:.2%} [{low:.2%} to {high:.2%}] at {rate:.0%}{missed}")
    default = f"{found.default_alarms} of {cell.default_windows}" if cell.default_windows else "not asked"
    return (
        f"{cell.data}, window {cell.window_rows}, reference {cell.reference_rows}: {'; '.join(said)}; "
        f"a column drifted by Evidently's default: {default}"
    )


if __name__ == "__main__":
    main()

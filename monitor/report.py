"""Evidently computes the p-values of a check and draws the report.

Nothing here is left to Evidently's defaults: its choice of test hangs on the size of the reference, and above 1,000
rows it compares a distance with a fixed 0.1, which false-alarms on small windows. Every column names its test and
its threshold; the thresholds are those of `monitor/decision.py`, so page and verdict say the same.

Evidently is imported on first use: it takes about 4 s, and a check without enough data needs none of it. Its
telemetry is switched off before that (`DO_NOT_TRACK`); the modules used here do not import it anyway.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from monitor.signals import LABEL, Signals
from monitor.two_sample import homogeneity

LABEL_TEST = "driftgate_homogeneity"


@dataclass(frozen=True, slots=True, eq=False)
class DriftReport:
    p_values: Mapping[str, float]
    """Per column."""
    _snapshot: Any

    def write_html(self, path: Path) -> None:
        """One page that needs no network: about 4 MB, nearly all of it Evidently's own script."""
        with _third_party_warnings():
            self._snapshot.save_html(str(path))


def compare(signals: Signals, thresholds: Mapping[str, float]) -> DriftReport:
    """Test every column; `thresholds` say which p-values the page calls drift."""
    evidently = _load_evidently()
    numerical = [column for column in signals.columns if column != LABEL]
    definition = evidently.DataDefinition(numerical_columns=numerical, categorical_columns=[LABEL])
    metrics = [
        evidently.ValueDrift(
            column=column, method=LABEL_TEST if column == LABEL else "ks", threshold=thresholds[column]
        )
        for column in signals.columns
    ]
    with _third_party_warnings():
        current, reference = (
            evidently.Dataset.from_pandas(_frame(columns, signals.labels), data_definition=definition)
            for columns in (signals.current, signals.reference)
        )
        snapshot = evidently.Report(metrics).run(current, reference)
        found = snapshot.dict()["metrics"]
    return DriftReport({m["config"]["column"]: float(m["value"]) for m in found}, snapshot)


def harmless(labels: Sequence[str]) -> list[str]:
    """Label names as the page may show them, still all different.

    Evidently writes them unescaped into a script of the page, and labels come from whoever may send feedback:
    `</script><script>...` would run in the browser of the watcher.
    """
    shown: list[str] = []
    for index, label in enumerate(labels):
        name = label.replace("<", "\u2039").replace(">", "\u203a")
        shown.append(name if name not in shown else f"{name} #{index}")
    return shown


def _frame(columns: Mapping[str, Any], labels: Sequence[str]) -> Any:
    import pandas as pd  # with evidently, on first use

    names = np.array(harmless(labels), dtype=object)
    return pd.DataFrame({name: names[values] if name == LABEL else values for name, values in columns.items()})


@dataclass(frozen=True, slots=True)
class _Evidently:
    Dataset: Any
    DataDefinition: Any
    Report: Any
    ValueDrift: Any


@cache
def _load_evidently() -> _Evidently:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with _third_party_warnings():
        from evidently import DataDefinition, Dataset, Report
        from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
        from evidently.legacy.core import ColumnType
        from evidently.metrics import ValueDrift

    def label_test(reference: Any, current: Any, feature_type: Any, threshold: float) -> tuple[float, bool]:
        p_value = homogeneity(reference.to_numpy(dtype=object), current.to_numpy(dtype=object)).p_value
        return p_value, p_value <= threshold

    register_stattest(
        StatTest(
            name=LABEL_TEST,
            display_name="homogeneity (permuted chi-square) p_value",
            allowed_feature_types=[ColumnType.Categorical],
        ),
        default_impl=label_test,
    )
    return _Evidently(Dataset=Dataset, DataDefinition=DataDefinition, Report=Report, ValueDrift=ValueDrift)


@contextmanager
def _third_party_warnings() -> Iterator[None]:
    """Silence what Evidently 0.7 and what it imports warn of themselves; we can change none of it."""
    with warnings.catch_warnings():
        # numpy.core and deprecated parameters of litestar on import, pandas' coming defaults when computing
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category, module=r"(evidently|litestar)\b")
        yield

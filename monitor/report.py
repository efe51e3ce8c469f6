"""Evidently draws a check: reference and window of every signal, side by side.

It decides nothing. The page shows our own p-values and thresholds (`monitor/joint_test.py`), so that page and verdict
say the same; Evidently's choice of test hangs on the size of the reference, and above 1,000 rows it compares a distance
with a fixed 0.1, which false-alarms on small windows.

Evidently is imported on first use: it takes about 4 s, and only a check that somebody will look at is drawn. Its
telemetry is switched off before that (`DO_NOT_TRACK`); the modules used here do not import it anyway.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from monitor.decision import DriftDecision
from monitor.signals import LABEL, Signals

JOINT_TEST = "driftgate_joint_test"


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A check as Evidently drew it."""

    _snapshot: Any

    def write_page(self, path: Path) -> None:
        """One page that needs no network: about 4 MB, nearly all of it Evidently's own script."""
        with _third_party_warnings():
            self._snapshot.save_html(str(path))

    def as_run(self, name: str, *, at: datetime, metadata: Mapping[str, str], tags: Sequence[str]) -> str:
        """What a workspace of Evidently's UI keeps of a run, as JSON: figures and pictures, and no rows.

        The pictures are in it, so whoever opens it needs neither our data nor our test. Times have no zone there;
        ours are UTC, as on the console.
        """
        told = {
            "name": name,
            "timestamp": at.astimezone(UTC).replace(tzinfo=None),
            "metadata": dict(metadata),
            "tags": list(tags),
        }
        with _third_party_warnings():
            return json.dumps({**self._snapshot.dump_dict(), **told}, cls=_load_evidently().NumpyEncoder)


def project_json(project: UUID, name: str) -> str:
    """What a workspace of Evidently's UI keeps of a project."""
    with _third_party_warnings():
        written: str = _load_evidently().ProjectModel(id=project, name=name).json()
    return written


def draw_report(signals: Signals, drift: DriftDecision) -> Drawing:
    """drift: what was decided from these signals."""
    evidently = _load_evidently()
    numerical = [name for name in signals.by_name if name != LABEL]
    definition = evidently.DataDefinition(numerical_columns=numerical, categorical_columns=[LABEL])
    metrics = [
        evidently.ValueDrift(column=name, method=JOINT_TEST, threshold=evidence.threshold)
        for name, evidence in drift.signals.items()
        if name in signals.by_name  # slices have rows of their own
    ]
    with _third_party_warnings(), _told({name: evidence.p_value for name, evidence in drift.signals.items()}):
        frame = _frame(signals)
        current, reference = (
            evidently.Dataset.from_pandas(part, data_definition=definition)
            for part in (frame.iloc[signals.reference_rows :], frame.iloc[: signals.reference_rows])
        )
        return Drawing(evidently.Report(metrics).run(current, reference))


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


def _frame(signals: Signals) -> Any:
    import pandas as pd  # with evidently, on first use

    names = np.array(harmless(signals.labels), dtype=object)
    drawn = {name: signal.drawn for name, signal in signals.by_name.items()}
    return pd.DataFrame({name: names[values] if name == LABEL else values for name, values in drawn.items()})


_p_values: ContextVar[Mapping[str, float]] = ContextVar("p_values")
"""By column, while a page is drawn: Evidently hands a test its data and nothing else."""


@contextmanager
def _told(p_values: Mapping[str, float]) -> Iterator[None]:
    token = _p_values.set(p_values)
    try:
        yield
    finally:
        _p_values.reset(token)


@dataclass(frozen=True, slots=True)
class _Evidently:
    Dataset: Any
    DataDefinition: Any
    Report: Any
    ValueDrift: Any
    ProjectModel: Any
    NumpyEncoder: Any


@cache
def _load_evidently() -> _Evidently:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with _third_party_warnings():
        from evidently import DataDefinition, Dataset, Report
        from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
        from evidently.legacy.core import ColumnType
        from evidently.legacy.utils import NumpyEncoder
        from evidently.metrics import ValueDrift
        from evidently.sdk.models import ProjectModel

    def decided(reference: Any, current: Any, feature_type: Any, threshold: float) -> tuple[float, bool]:
        p_value = _p_values.get()[str(current.name)]
        return p_value, p_value <= threshold

    register_stattest(
        StatTest(
            name=JOINT_TEST,
            display_name="permuted jointly with the other signals, p_value",
            allowed_feature_types=[ColumnType.Categorical, ColumnType.Numerical],
        ),
        default_impl=decided,
    )
    return _Evidently(
        Dataset=Dataset,
        DataDefinition=DataDefinition,
        Report=Report,
        ValueDrift=ValueDrift,
        ProjectModel=ProjectModel,
        NumpyEncoder=NumpyEncoder,
    )


@contextmanager
def _third_party_warnings() -> Iterator[None]:
    """Silence what Evidently 0.7 and what it imports warn of themselves; we can change none of it."""
    with warnings.catch_warnings():
        # numpy.core and deprecated parameters of litestar on import, pandas' coming defaults when computing
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category, module=r"(evidently|litestar)\b")
        yield

"""Runs side by side: what was asked for, what it was trained with and on, and what came of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.records import Run, RunMetric


@dataclass(frozen=True, slots=True)
class Line:
    """One property of several runs."""

    name: str
    values: tuple[Any, ...]
    """In the order of the runs; None where a run has nothing of the kind."""

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values)


def compare_runs(runs: Sequence[tuple[Run, Sequence[RunMetric]]]) -> list[Line]:
    """Every property that one of the runs has: first those in which they differ, each part in its usual order."""
    columns = [compared(run, metrics) for run, metrics in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    lines = [Line(name, tuple(column.get(name) for column in columns)) for name in names]
    return sorted(lines, key=lambda line: not line.differs)


def compared(run: Run, metrics: Iterable[RunMetric]) -> dict[str, Any]:
    """What a run is compared by, line by line: parameters, environment, then the last value of each figure."""
    lines: dict[str, Any] = {
        "model": run.model,
        "base": run.base,
        "status": run.status,
        "strategy": run.strategy,
        "snapshot": run.snapshot,
        "version": run.version,
        "cause": run.cause,
    }
    plan = run.environment.get("plan", {})
    lines |= {f"parameter: {name}": value for name, value in {**plan, **run.parameters}.items()}
    lines |= {f"environment: {name}": value for name, value in environment_lines(run.environment).items()}
    lines |= {f"evaluation: {name}": value for name, value in figures(run.evaluation).items()}
    lines |= {f"last: {metric.name}": metric.value for metric in metrics}  # in the order of their steps
    return lines | {"outcome": run.reason}


def figures(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What of an evaluation fits on one line each; `--json` has the rest."""
    return {name: value for name, value in evaluation.items() if not isinstance(value, Mapping)}


def environment_lines(environment: Mapping[str, Any]) -> dict[str, Any]:
    """One value a line: `{"packages": {"torch": "2"}}` becomes `{"packages.torch": "2"}`. The plan is left out."""
    found: dict[str, Any] = {}
    for name, value in environment.items():
        if name == "plan":
            continue
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": told for inner, told in environment_lines(value).items()}
        else:
            found[name] = value
    return found

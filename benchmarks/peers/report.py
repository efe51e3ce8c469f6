"""What was measured, as lines, as JSON and as Markdown tables."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.rounds import Results, Turn
from benchmarks.peers.workloads import WORKLOADS, Workload


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how the figures came about."""

    machine: str
    versions: str
    measured_at: datetime
    rounds: int
    seconds: float


def describe_machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0))
    return f"{models[0] if models else platform.machine()}, {cores} cores, Linux {platform.release()}"


def own_versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("driftgate", "onnxruntime", "numpy"))
    return f"Python {platform.python_version()}, {packages}"


def turn_line(turn: Turn) -> str:
    bad = f", {turn.wrong} wrong, {turn.failures} failed" if turn.wrong or turn.failures else ""
    return (
        f"round {turn.round + 1}, {turn.workload}, {turn.clients} clients, {turn.server}: "
        f"{turn.texts_per_s:.0f} texts/s, p50 {turn.p50_ms:.1f} ms, p99 {turn.p99_ms:.1f} ms{bad}"
    )


def figure_lines(results: Results, ours: str) -> list[str]:
    """One line a figure: medians of the rounds, and the ratios of `ours` to each other server."""
    lines = []
    for workload, clients, servers in _cells(results):
        for server in servers:
            turns = results.of(workload.name, clients, server)
            where = f"{workload.title}, {clients} clients"
            lines.append(
                f"{where}, {server}: {_middle(turns, 'texts_per_s'):.0f} texts/s, p50 {_middle(turns, 'p50_ms'):.1f} ms"
                f", p99 {_middle(turns, 'p99_ms'):.1f} ms, {_bad(turns)} wrong or failed"
            )
            ratio = results.ratio(workload.name, clients, ours, server)
            if server != ours and ratio is not None:
                lines.append(f"{where}, {ours} to {server}: {ratio:.2f}")
    lines += [f"not measured, {server}: {why}" for server, why in results.problems.items()]
    return lines


def as_json(results: Results, setting: Setting, ours: str) -> dict[str, Any]:
    figures = []
    for workload, clients, servers in _cells(results):
        for server in servers:
            turns = results.of(workload.name, clients, server)
            figures.append(
                {
                    "workload": workload.name,
                    "clients": clients,
                    "server": server,
                    "texts_per_s": _finite(_middle(turns, "texts_per_s")),
                    "p50_ms": _finite(_middle(turns, "p50_ms")),
                    "p99_ms": _finite(_middle(turns, "p99_ms")),
                    "wrong_or_failed": _bad(turns),
                    "ours_to_this": results.ratio(workload.name, clients, ours, server),
                }
            )
    turns = [{name: _finite(value) for name, value in asdict(turn).items()} for turn in results.turns]
    where = {**asdict(setting), "measured_at": setting.measured_at.isoformat()}
    return {"setting": where, "figures": figures, "turns": turns, "problems": results.problems}


def as_markdown(results: Results, setting: Setting, ours: str) -> str:
    """A table a workload: servers down, clients across; in each cell texts/s, and below the ratio of ours to it."""
    parts = [
        f"Measured on {setting.measured_at:%Y-%m-%d} on {setting.machine}. {setting.versions}. "
        f"Medians of {setting.rounds} interleaved rounds of {setting.seconds:g} s, every answer checked; "
        f"in brackets the median, over the rounds, of {ours}'s texts/s to that server's.\n"
    ]
    cells = _cells(results)
    for workload in WORKLOADS.values():
        columns = [clients for found, clients, _ in cells if found == workload]
        if not columns:
            continue
        servers = list(dict.fromkeys(server for found, _, names in cells if found == workload for server in names))
        parts.append(f"### {workload.title}\n\nTexts a second by number of clients.\n")
        parts.append(_table(results, workload, columns, servers, ours))
        parts.append("p50 / p99 of a request, milliseconds.\n")
        parts.append(_latency_table(results, workload, columns, servers))
    if results.problems:
        parts.append("Not measured:\n")
        parts.append("\n".join(f"- {server}: {why}" for server, why in results.problems.items()) + "\n")
    return "\n".join(parts)


def _table(results: Results, workload: Workload, columns: Sequence[int], servers: Sequence[str], ours: str) -> str:
    rows = []
    for server in servers:
        row = []
        for clients in columns:
            turns = results.of(workload.name, clients, server)
            ratio = results.ratio(workload.name, clients, ours, server)
            beside = f" ({ratio:.2f})" if ratio is not None and server != ours else ""
            flaw = f" [{_bad(turns)} bad]" if _bad(turns) else ""
            row.append(f"{_middle(turns, 'texts_per_s'):,.0f}{beside}{flaw}" if turns else "-")
        rows.append((server, row))
    return _markdown_table(columns, rows)


def _latency_table(results: Results, workload: Workload, columns: Sequence[int], servers: Sequence[str]) -> str:
    rows = []
    for server in servers:
        row = []
        for clients in columns:
            turns = results.of(workload.name, clients, server)
            row.append(f"{_middle(turns, 'p50_ms'):.1f} / {_middle(turns, 'p99_ms'):.1f}" if turns else "-")
        rows.append((server, row))
    return _markdown_table(columns, rows)


def _markdown_table(columns: Sequence[int], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    head = "| server | " + " | ".join(map(str, columns)) + " |"
    rule = "| --- |" + " ---: |" * len(columns)
    return "\n".join([head, rule, *(f"| {name} | " + " | ".join(row) + " |" for name, row in rows)]) + "\n"


def _cells(results: Results) -> list[tuple[Workload, int, list[str]]]:
    """Workload and clients with the servers that were measured so, in the order of the first round."""
    found: dict[tuple[str, int], dict[str, None]] = {}
    for turn in results.turns:
        found.setdefault((turn.workload, turn.clients), {})[turn.server] = None
    return [(WORKLOADS[name], clients, list(servers)) for (name, clients), servers in found.items()]


def _middle(turns: Sequence[Turn], name: str) -> float:
    return median(getattr(turn, name) for turn in turns)


def _bad(turns: Sequence[Turn]) -> int:
    return sum(turn.wrong + turn.failures for turn in turns)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value

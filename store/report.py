"""The report of a version: what its evaluation found, for the pages and commands that show it.

Written by retrain at registration, read by server and cli; `Version.evaluation["report"]` has its key. One JSON file of
plain figures, so that a page can be drawn anew whenever drawing gets better. Shares lie between 0 and 1, times are
seconds. It holds labels and no texts: whoever may see a page need not be allowed to see what callers wrote.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store.errors import ArtifactCorrupt, SchemaMismatch

REPORT_KIND = "evaluations"
SCHEMA = 1
"""Grows when a key changes its meaning or goes; keys that are added do not count."""
_FILE = "report.json"


def save_report(report: Mapping[str, Any], folder: Path) -> None:
    """report: as retrain.report.make_report makes it."""
    text = json.dumps({"schema": SCHEMA, **report}, allow_nan=False, sort_keys=True)
    (folder / _FILE).write_text(text + "\n", encoding="utf-8")


def load_report(folder: Path) -> dict[str, Any]:
    """Raises ArtifactCorrupt; SchemaMismatch for one that a later driftgate wrote."""
    try:
        report: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        schema = report["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(f"report in {folder} cannot be read: {error!r}; restore it from a backup") from error
    if schema != SCHEMA:
        raise SchemaMismatch(
            f"report in {folder} has schema {schema}, this driftgate reads {SCHEMA}; use the driftgate that wrote it"
        )
    return report

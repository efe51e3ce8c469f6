"""A folder that Evidently's own UI shows: `evidently ui --workspace FOLDER`. A project a model, a run a drawn check.

Nothing more must be installed: Evidently brings its UI along, and importing it sends no telemetry. What lies in the
folder is Evidently's JSON; nothing is pickled.

The files are written here and not by Evidently's `Workspace`, for two reasons. Opening one reads every run in the
folder into memory. And it writes a run in place, while the UI refuses to start on half a file.
"""

import os
import uuid
from pathlib import Path

from monitor.record import CheckResult
from monitor.report import Drawing, project_json
from store.errors import BadInput
from store.logs import get_log

_PROJECTS = uuid.UUID("6f1d3c1e-8a56-4a52-9d53-2b8f4f0c7a10")
"""Namespace of the ids of projects: the same model is the same project for every process that adds to a folder."""

_log = get_log("monitor")


class EvidentlyWorkspace:
    """Adds runs and removes them. Several processes may do so at the same moment: each file appears whole."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder. Raises BadInput where that cannot be, at the start and not at the first alarm."""
        self._folder = folder
        why = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror
        else:
            if not os.access(folder, os.W_OK | os.X_OK):
                why = "it cannot be written to"
        if why is not None:
            raise BadInput(
                f"folder {str(folder)!r} cannot be a workspace of Evidently's UI: {why}; name another one, "
                "by --evidently-workspace or DRIFTGATE_EVIDENTLY_WORKSPACE",
                where="evidently_workspace",
            )

    def add(self, result: CheckResult, drawing: Drawing) -> None:
        """Add a recorded check. Trouble with the folder is only logged: the check has its page all the same."""
        assert result.check is not None  # noqa: S101  # only recorded checks come here
        run = drawing.as_run(
            f"check {result.check}",
            at=result.at,
            metadata={"version": str(result.version)},
            tags=[result.drift.verdict.value],
        )
        try:
            self._add_project(result.model)
            _place(self._run(result.model, result.check), run)
        except OSError as error:
            _log.error("workspace_not_written", model=result.model, check=result.check, error=str(error))

    def remove(self, model: str, check: str) -> None:
        """Remove the run of a check, if it is there. Trouble with the folder is only logged."""
        try:
            self._run(model, check).unlink(missing_ok=True)
        except OSError as error:
            _log.error("workspace_not_cleaned", model=model, check=check, error=str(error))

    def _add_project(self, model: str) -> None:
        """Once: in the UI a person may have given it another name."""
        told = self._project(model) / "metadata.json"
        if not told.exists():
            told.parent.mkdir(exist_ok=True)
            _place(told, project_json(_project_id(model), model))

    def _project(self, model: str) -> Path:
        return self._folder / str(_project_id(model))

    def _run(self, model: str, check: str) -> Path:
        """The id of a check is a UUID, and so is that of a run."""
        return self._project(model) / "snapshots" / f"{uuid.UUID(check)}.json"


def _project_id(model: str) -> uuid.UUID:
    return uuid.uuid5(_PROJECTS, model)


def _place(path: Path, text: str) -> None:
    """Whole or not at all. A running UI notices a file that is made or linked, and none that is renamed: so it is
    linked, where the file system can."""
    path.parent.mkdir(exist_ok=True)
    written = path.with_name(f".{uuid.uuid4().hex}")
    try:
        written.write_text(text, "utf-8")
        try:
            os.link(written, path)
        except OSError:
            os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)

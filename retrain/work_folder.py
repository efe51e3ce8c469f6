"""The folder in which one worker carries out one run: checkpoints, and the finished adapter until it is stored.

It bears its worker's name. Who takes a run over renames it first, so a worker that was only asleep and wakes in the
middle of a checkpoint writes nowhere that anybody reads: its files have moved, and its path is gone.
"""

import shutil
from pathlib import Path

from store.database import Database
from store.runs import ended_runs


def take_work_folder(home: Path, run_id: str, owner: str) -> Path:
    """The folder of `owner` for a run that it holds, with what the worker before it left there, if any."""
    shared = home / "work" / run_id
    own = shared / owner.replace(":", "-")
    shared.mkdir(parents=True, exist_ok=True)
    left = sorted((path for path in shared.iterdir() if path != own), key=lambda path: path.stat().st_mtime)
    if left and not own.exists():
        left.pop().rename(own)
    for older in left:
        shutil.rmtree(older, ignore_errors=True)
    own.mkdir(exist_ok=True)
    return own


def clear_work_folder(home: Path, run_id: str) -> None:
    """Drop what an ended run kept. Whoever still writes to it has lost the run."""
    shutil.rmtree(home / "work" / run_id, ignore_errors=True)


def sweep_work_folders(home: Path, database: Database) -> None:
    """Drop the folders of runs that ended while nobody was left to do it. Raises StoreUnavailable."""
    work = home / "work"
    names = [path.name for path in work.iterdir()] if work.is_dir() else []
    if not names:
        return
    with database.read() as session:
        ended = ended_runs(session, names)
    for run_id in ended:
        clear_work_folder(home, run_id)

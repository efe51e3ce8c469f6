"""A real worker that stands still at a named point until it is killed. Not a test: a process that tests start.

usage: halting_worker HOME MARK POINT

POINT is `module:name:before` or `module:name:after`, with `:N` for the N-th time. Before or after that call of that
function the process writes the file MARK and waits. Nothing else about it differs from `driftgate worker`.
"""

import importlib
import sys
import threading
from functools import wraps
from pathlib import Path
from typing import Any

from store.logs import configure_logs
from store.settings import load_settings


def halt_at(point: str, mark: Path) -> None:
    module, path, when, *nth = point.split(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    left = int(nth[0]) if nth else 1

    @wraps(original)
    def halting(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            _stand_still(mark)
        found = original(*arguments, **options)
        if left == 0:
            _stand_still(mark)
        return found

    setattr(owner, name, halting)


def _stand_still(mark: Path) -> None:
    mark.touch()
    threading.Event().wait()


if __name__ == "__main__":
    home, mark, point = sys.argv[1:]
    from retrain.worker import calm_threads, run_worker

    configure_logs("json")
    calm_threads()
    halt_at(point, Path(mark))
    run_worker(load_settings(home=Path(home), worker_port=0), once=False, stop=threading.Event())

"""What a worker loads, and when: it must be light while it waits, and ready before it holds a lease."""

import subprocess
import sys

from store.bases import add_base
from store.clock import utc_now
from store.database import open_database
from store.runs import NewRun, enqueue_run
from store.settings import load_settings
from tests.e2e.processes import TOP
from tests.store.rows import base

CHILD = """
import sys, threading
from pathlib import Path
from retrain.worker import run_worker
from store.database import open_database
from store.runs import list_runs
from store.settings import load_settings
settings = load_settings(home=Path(sys.argv[1]))

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "retrain.execute":
            with open_database(settings).read() as session:
                print(*(run.status for run in list_runs(session)))
            raise KeyboardInterrupt

sys.meta_path.insert(0, Watch())
try:
    run_worker(settings, once=True, stop=threading.Event())
except KeyboardInterrupt:
    pass
print("torch" in sys.modules, "onnxruntime" in sys.modules)
"""


def watch(home) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(home)], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_worker_without_work_loads_nothing_that_trains(tmp_path):
    assert watch(tmp_path / "home") == ["False False"]


def test_what_trains_is_loaded_before_a_run_is_claimed(tmp_path):
    """It takes seconds, on a busy machine more of them than a lease lasts."""
    database = open_database(load_settings(home=tmp_path / "home"))
    with database.write() as session:
        add_base(session, base())
    with database.write() as session:
        enqueue_run(session, NewRun("tickets", "minilm", "a test", "lora", {}), by="t", now=utc_now())
    database.close()
    assert watch(tmp_path / "home")[0] == "queued"

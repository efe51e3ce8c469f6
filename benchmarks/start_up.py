"""How long a server takes from the start of its process to its first ready answer, and what it holds in memory."""

import statistics
import tempfile
from pathlib import Path

import httpx
import psutil

from benchmarks.stage import MODEL, build_home, free_port, machine, serving

STARTS = 5


def main() -> None:
    print(machine())
    seconds, resident_mib = [], []
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        build_home(home)
        for _ in range(STARTS):
            with serving(home, port=free_port()) as server:
                seconds.append(server.ready_s)
                body = {"inputs": ["Where is my parcel? It should have been here on Monday."]}
                httpx.post(f"{server.url}/v1/models/{MODEL}/predict", json=body, timeout=30).raise_for_status()
                resident_mib.append(psutil.Process(server.pid).memory_info().rss / 2**20)
    print(f"start to ready, best of {STARTS}: {min(seconds):.2f} s")
    print(f"start to ready, median of {STARTS}: {statistics.median(seconds):.2f} s")
    print(f"resident memory after an answer, median of {STARTS}: {statistics.median(resident_mib):.0f} MiB")


if __name__ == "__main__":
    main()

"""The loop on real data: five domains of CLINC150 first, the other five arrive later (Larson et al. 2019, CC BY 3.0).

Slow: two real trainings on thousands of rows, several minutes on two cores. The data is not ours to ship; the test
finds it beside the repository and skips where it is absent.
"""

import csv
import gzip
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "clinc150.json.gz").exists(), reason="needs CLINC150 in ../shared/data"),
]

FIRST = ("banking", "credit_cards", "kitchen_and_dining", "home", "auto_and_commute")
SETTINGS = {
    "DRIFTGATE_AUDIT_RATE": "1.0",  # every query comes with its true intent
    "DRIFTGATE_CHECK_EVERY_PREDICTIONS": "500",
    "DRIFTGATE_MONITOR_TICK_S": "1",
    "DRIFTGATE_RETRAIN_MIN_LABELS": "8500",  # retrain once, when nearly all of the new domains has been labelled
    "DRIFTGATE_RETRAIN_COOLDOWN_S": "0",
    "DRIFTGATE_TRAIN_EPOCHS": "6",
    "DRIFTGATE_MONITOR_PORT": "0",
    "DRIFTGATE_WORKER_PORT": "0",
}
Rows = list[tuple[str, str]]


@pytest.fixture(scope="module")
def clinc() -> dict[str, Rows]:
    """Rows by split and half: `old_train`, `new_train`, `old_test`, `new_test`."""
    with gzip.open(DATA / "clinc150.json.gz", "rt") as file:
        splits = json.load(file)
    domains = json.loads((DATA / "clinc150_domains.json").read_text())
    assert set(FIRST) <= set(domains), sorted(domains)
    old = {intent for domain in FIRST for intent in domains[domain]}
    training = [(text, intent) for text, intent in splits["train"] + splits["val"]]
    return {
        "old_train": [row for row in training if row[1] in old],
        "new_train": [row for row in training if row[1] not in old],
        "old_test": [(t, i) for t, i in splits["test"] if i in old],
        "new_test": [(t, i) for t, i in splits["test"] if i not in old],
    }


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {**os.environ, **SETTINGS, "DRIFTGATE_HOME": str(tmp_path / "home"), "DRIFTGATE_PORT": str(port)}


def driftgate(environment: dict[str, str], *arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "cli.main", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.fixture
def first_version(
    clinc: dict[str, Rows], environment: dict[str, str], tmp_path: Path, minilm_source: Path
) -> dict[str, object]:
    data = tmp_path / "old.csv"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(clinc["old_train"])
    driftgate(environment, "base", "import", str(minilm_source), "--name", "minilm", "--approve")
    return driftgate(
        environment,
        "train",
        "--base",
        "minilm",
        "--model",
        "intents",
        "--data",
        str(data),
        "--epochs",
        "4",
        "--promote",
    )


@pytest.fixture
def http(first_version: dict[str, object], environment: dict[str, str], tmp_path: Path) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{environment['DRIFTGATE_PORT']}"
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen([sys.executable, "-m", "cli.main", "up"], env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            wait_for(lambda: is_ready(client), 60, "the server")
            yield client
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: object, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.5)  # another process decides when; there is nothing to await


def accuracy(http: httpx.Client, rows: Rows, version: int) -> float:
    right = 0
    for start in range(0, len(rows), 100):
        chunk = rows[start : start + 100]
        body = {"inputs": [text for text, _ in chunk], "version": version}
        answer = http.post("/v1/models/intents/predict", json=body).raise_for_status().json()
        assert answer["version"] == version
        right += sum(p["label"] == label for p, (_, label) in zip(answer["predictions"], chunk, strict=True))
    return right / len(rows)


def stream_with_feedback(http: httpx.Client, rows: Rows) -> None:
    def ask(chunk: Sequence[tuple[str, str]]) -> None:
        answer = http.post("/v1/models/intents/predict", json={"inputs": [text for text, _ in chunk]})
        for prediction, (_, label) in zip(answer.raise_for_status().json()["predictions"], chunk, strict=True):
            verdict = {"prediction_id": prediction["id"], "label": label, "by": "ground truth", "origin": "audit"}
            http.post("/v1/feedback", json=verdict).raise_for_status()

    shuffled = random.Random(3).sample(rows, len(rows))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, [shuffled[i : i + 8] for i in range(0, len(shuffled), 8)]))


def test_a_model_learns_five_new_domains_and_keeps_the_old_ones(clinc: dict[str, Rows], http: httpx.Client) -> None:
    old_before = accuracy(http, clinc["old_test"], 1)
    stream_with_feedback(http, clinc["new_train"])

    def promoted() -> bool:
        model = http.get("/v1/models/intents").raise_for_status().json()
        ended = [v for v in model["versions"] if v["state"] == "rejected"]
        assert not ended, ended[0]["evaluation"]["gate"]["reason"]
        return bool(model["production"] == 2)

    wait_for(promoted, 1500, "version 2 in production")
    old_after, new_after = accuracy(http, clinc["old_test"], 2), accuracy(http, clinc["new_test"], 2)
    overall = (old_after * len(clinc["old_test"]) + new_after * len(clinc["new_test"])) / 4500
    for event in http.get("/v1/models/intents/history").json()["events"]:
        print(event["at"][11:19], event["by"], event["kind"], event["message"])
    print(f"old domains {old_before:.4f} -> {old_after:.4f}, new domains {new_after:.4f}, all {overall:.4f}")
    assert overall >= 0.94
    assert old_after >= old_before - 0.015

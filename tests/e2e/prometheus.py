"""A real Prometheus over real processes, with the configuration that is committed."""

import math
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

COMMITTED = Path(__file__).parents[2] / "observability" / "prometheus.yml"
OFTEN = "1s"
"""How often it scrapes, and looks at its rules: a test does not wait for what takes minutes in earnest."""


class Prometheus:
    """Asked over its HTTP API."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self._process = process
        self._log = log

    def figures(self, expr: str) -> list[float]:
        """What the expression comes to now, series by series, without what is not a number."""
        found = self.get("query", query=expr)
        samples = [found["result"]] if found["resultType"] == "scalar" else [s["value"] for s in found["result"]]
        return [value for _, said in samples if not math.isnan(value := float(said))]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def get(self, what: str, **parameters: str) -> Any:
        assert self._process.poll() is None, f"Prometheus ended:\n{self._log.read_text()[-3000:]}"
        answer = self._http.get(f"/api/v1/{what}", params=parameters).json()
        assert answer["status"] == "success", f"{what} {parameters}: {answer.get('error')}"
        return answer["data"]

    def ready(self) -> bool:
        assert self._process.poll() is None, f"Prometheus ended:\n{self._log.read_text()[-3000:]}"
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._http.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def adapted(ports: Mapping[int, int]) -> dict[str, Any]:
    """The committed configuration, scraping `ports` in place of those by default, and often."""
    config: dict[str, Any] = yaml.safe_load(COMMITTED.read_text())
    config["global"] |= {"scrape_interval": OFTEN, "evaluation_interval": OFTEN}
    config["rule_files"] = [str((COMMITTED.parent / file).resolve()) for file in config["rule_files"]]
    for job in config["scrape_configs"]:
        for group in job["static_configs"]:
            hosts_and_ports = [target.rpartition(":") for target in group["targets"]]
            group["targets"] = [f"{host}:{ports[int(port)]}" for host, _, port in hosts_and_ports]
    return config


@contextmanager
def prometheus(folder: Path, ports: Mapping[int, int]) -> Iterator[Prometheus]:
    """One that does not outlive the block; it may not be ready yet."""
    config, log, port = folder / "prometheus.yml", folder / "prometheus.log", free_port()
    config.write_text(yaml.safe_dump(adapted(ports)))
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--scrape.discovery-reload-interval=1s",  # or it first looks at its targets after ten seconds
            ],
            stdout=file,
            stderr=file,
        )
    running = Prometheus(f"http://127.0.0.1:{port}", process, log)
    try:
        yield running
    finally:
        running.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

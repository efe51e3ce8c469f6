"""Prometheus and Grafana on one machine: their files fit each other, the settings, and what is committed."""

from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from store.settings import Settings
from tests import card_files as card
from tests.promtool import needs_promtool, run_promtool

HERE = card.ROOT / "observability"
PROMETHEUS: dict[str, Any] = yaml.safe_load((HERE / "prometheus.yml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((HERE / "compose.yaml").read_text())
SOURCES: dict[str, Any] = yaml.safe_load((HERE / "grafana" / "datasources" / "driftgate.yaml").read_text())
PROVIDERS: dict[str, Any] = yaml.safe_load((HERE / "grafana" / "dashboards" / "driftgate.yaml").read_text())


def mounts(service: str) -> dict[PurePosixPath, Path]:
    """What of the repository lies where in the container."""
    found = {}
    for mount in COMPOSE["services"][service]["volumes"]:
        source, target, *mode = mount.split(":")
        if source.startswith("."):
            assert mode == ["ro"], mount
            found[PurePosixPath(target)] = (HERE / source).resolve()
    return found


def mounted(service: str, path: PurePosixPath) -> Path:
    """The file of the repository that the container sees at `path`."""
    for target, source in mounts(service).items():
        if path.is_relative_to(target):
            return source / path.relative_to(target)
    raise AssertionError(f"nothing of ours lies at {path} in {service}")


def test_prometheus_scrapes_the_ports_of_the_settings() -> None:
    host = Settings.model_fields["host"].default
    targets = {
        job["job_name"]: target
        for job in PROMETHEUS["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert targets == {
        f"driftgate-{process}": f"{host}:{Settings.model_fields[port].default}"
        for process, port in {"serve": "port", "monitor": "monitor_port", "worker": "worker_port"}.items()
    }


def test_prometheus_loads_the_alert_rules() -> None:
    assert [(HERE / file).resolve() for file in PROMETHEUS["rule_files"]] == [card.RULES]


@needs_promtool
def test_prometheus_accepts_its_configuration() -> None:
    run_promtool("check", "config", HERE / "prometheus.yml")


def test_the_container_of_prometheus_sees_its_configuration_and_the_rules() -> None:
    command = COMPOSE["services"]["prometheus"]["command"]
    (config,) = [PurePosixPath(word.partition("=")[2]) for word in command if word.startswith("--config.file=")]
    assert mounted("prometheus", config) == HERE / "prometheus.yml"
    rules = PurePosixPath(*config.parent.parts[:-1], *PurePosixPath(PROMETHEUS["rule_files"][0]).parts[1:])
    assert mounted("prometheus", rules) == card.RULES


def test_the_container_of_grafana_sees_its_provisioning_and_the_dashboards() -> None:
    assert mounted("grafana", PurePosixPath("/etc/grafana/provisioning")) == HERE / "grafana"
    (provider,) = PROVIDERS["providers"]
    assert mounted("grafana", PurePosixPath(provider["options"]["path"])) == card.DASHBOARDS


def test_grafana_asks_the_prometheus_that_is_started_and_knows_how_often_it_scrapes() -> None:
    (source,) = SOURCES["datasources"]
    (address,) = [
        word.partition("=")[2]
        for word in COMPOSE["services"]["prometheus"]["command"]
        if word.startswith("--web.listen-address=")
    ]
    assert source["url"] == f"http://{address}"
    assert source["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]


def test_nothing_of_it_can_be_reached_from_elsewhere() -> None:
    assert "--web.listen-address=127.0.0.1:9090" in COMPOSE["services"]["prometheus"]["command"]
    assert COMPOSE["services"]["grafana"]["environment"] == {"GF_SERVER_HTTP_ADDR": "127.0.0.1"}


def test_images_are_pinned() -> None:
    for service in COMPOSE["services"].values():
        assert service["image"].partition(":")[2] not in ("", "latest")


def test_the_page_copies_files_that_exist() -> None:
    page = (HERE / "README.md").read_text()
    named = [word for line in page.splitlines() if line.startswith("sudo install") for word in line.split()[1:]]
    ours = [word for word in named if word.startswith(("k8s/", "observability/"))]
    assert len(ours) == 3
    for pattern in ours:
        assert list(card.ROOT.glob(pattern)), pattern
    (provider,) = PROVIDERS["providers"]
    assert provider["options"]["path"] in named

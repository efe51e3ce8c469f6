"""The card: Dockerfile, Kubernetes manifests and alerts say what the code says."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from cli.main import COMMANDS, load_command
from server.app import create_surface
from server.metrics import ServerMetrics
from server.parts import Parts
from store.settings import Settings, load_settings
from tests import card_files as card
from tests.card_alarms import CALM, DAYS, LOOKED_AT_MINUTE, Day
from tests.card_metrics import TARGET_LABELS, assert_speaks_of_what_exists
from tests.card_promql import selectors_of, spoken_of
from tests.promtool import needs_promtool, run_promtool

PYPROJECT: dict[str, Any] = tomllib.loads((card.ROOT / "pyproject.toml").read_text())
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
PORTS = {
    "serve": {"http": DEFAULTS["port"], "grpc": DEFAULTS["grpc_port"]},
    "monitor": {"metrics": DEFAULTS["monitor_port"]},
    "worker": {"metrics": DEFAULTS["worker_port"]},
}
"""Of each component by name; the first answers HTTP."""
KUBERNETES = ("1.30", "1.37")
"""The oldest and the newest version that the manifests are checked against."""
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl to run kustomize")


# Kubernetes


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("manifest", card.manifests().values(), ids=card.manifests().keys())
def test_a_manifest_is_what_kubernetes_expects(manifest: card.Manifest, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_of_a_manifest_is_found() -> None:
    manifest = card.manifests()["Deployment/driftgate-serve"]
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)


def test_the_kustomization_names_every_manifest_and_no_other_file() -> None:
    assert sorted(card.kustomization()["resources"]) == [path.name for path in card.manifest_files()]
    files = {name for generator in card.kustomization()["configMapGenerator"] for name in generator.get("files", [])}
    assert files == {card.RULES.name, *(f"{card.DASHBOARDS.name}/{path.name}" for path in card.DASHBOARDS.iterdir())}


def test_kubectl_can_keep_a_copy_of_each_config_map() -> None:
    for generator in card.kustomization()["configMapGenerator"]:
        kept = json.dumps({name: (card.BASE / name).read_text() for name in generator.get("files", [])})
        assert len(kept) < 250_000, "`kubectl apply` keeps what it applied in an annotation, of at most 256 KiB"


@needs_kubectl
def test_kustomize_builds_the_base() -> None:
    done = subprocess.run(["kubectl", "kustomize", card.BASE], capture_output=True, text=True, check=True)
    built = {f"{m['kind']}/{m['metadata']['name']}": m for m in yaml.safe_load_all(done.stdout)}
    for manifest in built.values():
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)
    assert set(card.manifests()) < set(built)
    shown = built["ConfigMap/driftgate-dashboards"]["data"]
    assert {name: json.loads(content) for name, content in shown.items()} == card.dashboards()
    assert built["ConfigMap/driftgate-alerts"]["data"][card.RULES.name] == card.RULES.read_text()
    (settings,) = [name.partition("/")[2] for name in built if name.startswith("ConfigMap/driftgate-settings-")]
    assert done.stdout.count(f"name: {settings}\n") == 1 + len(card.workloads()), "a workload does not use the settings"


def test_images_are_the_targets_of_the_dockerfile_at_our_version() -> None:
    images = {image["name"]: image["newTag"] for image in card.kustomization()["images"]}
    assert set(images) == {f"driftgate-{target}" for target in ("serve", "work")}
    assert set(images.values()) == {PYPROJECT["project"]["version"]}
    assert {name: card.container(name)["image"] for name in card.workloads()} == {
        "serve": "driftgate-serve",
        "db-upgrade": "driftgate-serve",
        "monitor": "driftgate-work",
        "worker": "driftgate-work",
    }


@pytest.mark.parametrize("component", PORTS)
def test_ports_of_containers_probes_services_and_scraping_are_those_of_the_settings(component: str) -> None:
    ports = PORTS[component]
    assert {port["name"]: port["containerPort"] for port in card.container(component)["ports"]} == ports
    for probe in probes_of(component).values():
        assert probe["httpGet"]["port"] == next(iter(ports))
    offered = card.manifests()[f"Service/driftgate-{component}"]["spec"]["ports"]
    assert {port["name"]: port["port"] for port in offered} == ports
    assert all(port["targetPort"] == port["name"] for port in offered)
    annotations = card.workloads()[component]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(next(iter(ports.values()))),
        "prometheus.io/path": "/metrics",
    }


def probes_of(component: str) -> dict[str, dict[str, Any]]:
    return {key: value for key, value in card.container(component).items() if key.endswith("Probe")}


def test_the_server_answers_what_kubernetes_and_prometheus_ask() -> None:
    paths = {name: probe["httpGet"]["path"] for name, probe in probes_of("serve").items()}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    router = SimpleNamespace(ready=False, complaints={"tickets": "not loaded"})
    parts = SimpleNamespace(router=router, metrics=ServerMetrics(CollectorRegistry()))
    app = create_surface(cast(Parts, parts)).app

    async def ask(path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pod") as client:
            return (await client.get(path)).status_code

    assert {path: asyncio.run(ask(path)) for path in ("/readyz", "/healthz", "/metrics")} == {
        "/readyz": 503,
        "/healthz": 200,
        "/metrics": 200,
    }
    router.ready = True
    assert asyncio.run(ask("/readyz")) == 200


@pytest.mark.parametrize("component", ["monitor", "worker"])
def test_monitor_and_worker_are_probed_where_their_metrics_are(component: str) -> None:
    assert {probe["httpGet"]["path"] for probe in probes_of(component).values()} == {"/metrics"}


@pytest.mark.parametrize("component", card.workloads())
def test_a_container_runs_a_command_that_exists(component: str) -> None:
    assert_command(card.container(component)["args"])
    assert "command" not in card.container(component), "the image's entry point is driftgate"


def assert_command(words: list[str]) -> None:
    """The words lead to a command, and its options are options of it."""
    assert words[0] in COMMANDS, f"driftgate has no command {words[0]!r}"
    command, rest = load_command(words[0]), words[1:]
    while subcommands := getattr(command, "commands", None):
        assert rest, f"driftgate {' '.join(words)} lacks a subcommand"
        assert rest[0] in subcommands, f"driftgate {' '.join(words)}: no subcommand {rest[0]!r}"
        command, rest = subcommands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("component", card.workloads())
def test_a_pod_is_locked_down(component: str) -> None:
    pod = card.workloads()[component]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "our Services would overwrite our settings"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    container = card.container(component)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    written = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert written == {"/tmp", image_home()}  # noqa: S108  # the pod's own emptyDir
    assert {"requests", "limits"} <= set(container["resources"])
    cores = str(container["resources"]["limits"]["cpu"])
    assert cores.isdigit(), "the engine takes whole cores of its limit"


def test_the_pods_run_as_the_user_of_the_image() -> None:
    for manifest in card.workloads().values():
        context = manifest["spec"]["template"]["spec"]["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == image_user()
        assert context["fsGroup"] == context["runAsGroup"]


def test_labels_lead_services_and_the_budget_to_their_pods() -> None:
    for name, manifest in card.workloads().items():
        labels = manifest["metadata"]["labels"]
        assert manifest["spec"]["template"]["metadata"]["labels"] == labels
        assert manifest["spec"].get("selector", {"matchLabels": labels}) == {"matchLabels": labels}
        if name in PORTS:
            assert card.manifests()[f"Service/driftgate-{name}"]["spec"]["selector"] == labels
    budget = card.manifests()["PodDisruptionBudget/driftgate-serve"]["spec"]
    serve = card.workloads()["serve"]["spec"]
    assert budget["selector"] == serve["selector"]
    assert budget["minAvailable"] < serve["replicas"], "or no node could ever be drained"


def test_a_rollout_takes_no_server_away_before_its_successor_is_ready() -> None:
    serve = card.workloads()["serve"]["spec"]
    assert serve["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    grace_s = serve["template"]["spec"]["terminationGracePeriodSeconds"]
    drain_s = float(literals()["DRIFTGATE_DRAIN_NOTICE_S"]) + 3 * DEFAULTS["drain_timeout_s"]
    assert grace_s > drain_s, "HTTP, gRPC and recordings are drained one after the other"
    assert card.workloads()["monitor"]["spec"]["replicas"] == 1
    assert card.workloads()["monitor"]["spec"]["strategy"] == {"type": "Recreate"}


def literals() -> dict[str, str]:
    generators = {g["name"]: g for g in card.kustomization()["configMapGenerator"]}
    return dict(literal.split("=", 1) for literal in generators["driftgate-settings"]["literals"])


def test_the_settings_of_the_pods_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in literals().items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert not ip_address(settings.host).is_loopback, "probes and Prometheus come from outside the pod"
    assert settings.log_style == "json"
    assert not settings.artifacts.startswith("/"), "replicas share no disk"


@pytest.mark.parametrize("file", ["Dockerfile", "k8s", "docs/runbooks.md", "observability"])
def test_every_setting_that_is_named_exists(file: str) -> None:
    path = card.ROOT / file
    files = [p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc"] if path.is_dir() else [path]
    text = "".join(p.read_text() for p in files)
    named = {name.lower() for name in re.findall(r"\bDRIFTGATE_([A-Z_]+)\b", text)}
    assert named
    assert named <= set(Settings.model_fields)


@pytest.mark.parametrize("component", card.workloads())
def test_secrets_are_referred_to_and_nowhere_given(component: str) -> None:
    assert not card.manifests("Secret")
    container = card.container(component)
    given = {entry["name"]: entry for entry in container["env"]}
    assert "value" not in given["DRIFTGATE_DATABASE_URL"]
    assert given["DRIFTGATE_DATABASE_URL"]["valueFrom"]["secretKeyRef"] == {"name": "driftgate-database", "key": "url"}
    assert container["envFrom"] == [
        {"configMapRef": {"name": "driftgate-settings"}},
        {"secretRef": {"name": "driftgate-s3", "optional": True}},
    ]


# Alerts


@pytest.mark.parametrize("rule", card.alerts().values(), ids=card.alerts().keys())
def test_an_alert_speaks_of_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    assert_speaks_of_what_exists(rule["expr"])


def test_reading_a_query_finds_its_metrics_and_labels() -> None:
    spoken = spoken_of('sum by (a, le) (rate(x_total{b=~"c{d}", e!="f"}[5m] offset 1h)) / on (g) time() - y > 1e3')
    assert spoken.metrics == {"x_total": {"b", "e"}, "y": set()}
    assert spoken.grouping == {"a", "le", "g"}


def test_reading_a_query_finds_its_selectors() -> None:
    expr = 'sum by (a) (rate(x_total{b=~"c{d}", e!="f"}[5m])) / y and on (g) z offset 1h unless z{h="i"} > 1e3'
    assert selectors_of(expr) == ['x_total{b=~"c{d}", e!="f"}', "y", "z", 'z{h="i"}']


@pytest.mark.parametrize("alert", card.alerts())
def test_an_alert_says_what_happened_and_what_to_do(alert: str) -> None:
    rule = card.alerts()[alert]
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (card.ROOT / page).read_text(), flags=re.MULTILINE)
    assert alert in headings
    assert anchor == alert.lower()
    spoken = spoken_of(rule["expr"])
    used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert used <= spoken.grouping | TARGET_LABELS, "a label that the alert does not have"


def test_every_runbook_is_of_an_alert() -> None:
    assert set(re.findall(r"^## (.+)$", card.RUNBOOKS.read_text(), flags=re.MULTILINE)) == set(card.alerts())


@pytest.mark.parametrize("page", ["docs/runbooks.md", "k8s/README.md"])
def test_a_page_shows_commands_that_exist(page: str) -> None:
    text = (card.ROOT / page).read_text()
    commands = re.findall(r"`driftgate\s([^`]+)`|-- driftgate (.+)$", text, flags=re.MULTILINE)
    assert commands
    for inline, in_pod in commands:
        assert_command((inline or in_pod).split())


def test_figures_in_alerts_are_those_of_the_settings() -> None:
    rules = card.alerts()
    for alert, figure in {
        "DriftgateAccuracyLow": f"< {DEFAULTS['alert_accuracy_ratio']} *",
        "DriftgateEstimatedAccuracyLow": f"< {DEFAULTS['alert_accuracy_ratio']} *",
        "DriftgateChecksLate": f"> {3 * DEFAULTS['check_every_s']:.0f} ",
        "DriftgateReviewQueueLong": f"> {DEFAULTS['retrain_min_labels']}",
    }.items():
        assert figure in rules[alert]["expr"], alert


@needs_promtool
def test_prometheus_accepts_the_rules() -> None:
    run_promtool("check", "rules", card.RULES)


@needs_promtool
@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.name.replace(" ", "-"))
def test_the_right_alerts_ring(day: Day, tmp_path: Path) -> None:
    seen = {name: values for name, values in {**CALM, **day.change}.items() if values is not None}
    ringing = [{"labels": f'{{alertname="{alarm}"}}', "value": 1} for alarm in sorted(day.alarms)]
    question = {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{LOOKED_AT_MINUTE}m",
        "exp_samples": ringing,
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in seen.items()],
        "promql_expr_test": [question],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(card.RULES)], "evaluation_interval": "1m", "tests": [test]}))
    run_promtool("test", "rules", file)


def test_every_alert_rings_on_some_day() -> None:
    assert frozenset[str]().union(*(day.alarms for day in DAYS)) == set(card.alerts())


# Dockerfile


STAGES = card.dockerfile()


def image_user() -> str:
    (user,) = {stage.all("USER")[-1] for stage in card.lineage(STAGES, "serve") if stage.all("USER")}
    return user


def image_home() -> str:
    (runtime,) = STAGES["runtime"].all("ENV")
    return dict(pair.split("=", 1) for pair in runtime.split())["DRIFTGATE_HOME"]


def extras_in(target: str) -> set[str]:
    """Extras that are installed in an image, with the defaults of its build arguments."""
    stages = card.inside(STAGES, target)
    defaults = dict(argument.split("=", 1) for stage in stages for argument in stage.all("ARG"))
    found: set[str] = set()
    for stage in stages:
        for command in stage.all("RUN"):
            for extras in re.findall(r"pip install.*?\"\.\[(.+?)\]\"", command):
                assert "-c constraints.txt" in command
                found |= set(re.sub(r"\$\{(\w+)\}", lambda m: defaults[m[1]], extras).split(","))
    return found


def test_the_serving_image_holds_what_serving_needs_and_the_other_all() -> None:
    assert extras_in("serve") == {"cpu", "postgres", "s3"}
    assert extras_in("work") == {"cpu", "postgres", "s3", "monitor", "retrain"}
    extras = PYPROJECT["project"]["optional-dependencies"]
    needed = PYPROJECT["project"]["dependencies"] + [line for extra in extras_in("serve") for line in extras[extra]]
    heavy = {"torch", "transformers", "evidently", "peft", "pandas", "scikit-learn", "scipy"}
    assert not heavy & {re.split(r"[\[<>=~ ]", line)[0] for line in needed}


def test_the_serving_image_is_the_last_stage_and_takes_nothing_but_the_environment() -> None:
    assert list(STAGES)[-1] == "serve", "it is what `docker build .` makes"
    for target in ("serve", "work"):
        assert [card.words(c)[1:] for c in STAGES[target].all("COPY")] == [["/opt/driftgate", "/opt/driftgate"]]
        assert not STAGES[target].all("RUN")


def test_the_images_run_as_a_number_that_is_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image_user())
    assert STAGES["runtime"].all("VOLUME") == [image_home()]


def test_the_images_expose_the_ports_of_the_settings() -> None:
    def exposed(*components: str) -> str:
        return " ".join(str(port) for name in components for port in PORTS[name].values())

    assert STAGES["serve"].all("EXPOSE") == [exposed("serve")]
    assert STAGES["work"].all("EXPOSE") == [exposed("monitor", "worker")]


def test_the_images_start_commands_that_exist() -> None:
    assert card.words(STAGES["runtime"].all("ENTRYPOINT")[0]) == ["driftgate"]
    assert PYPROJECT["project"]["scripts"]["driftgate"] == "cli.main:main"
    for target in ("serve", "work"):
        assert_command(card.words(STAGES[target].all("CMD")[-1]))


@pytest.mark.parametrize("status", [200, 503])
def test_the_health_check_of_the_image_asks_the_server(status: int) -> None:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    (check,) = STAGES["serve"].all("HEALTHCHECK")
    program, *arguments = card.words(check.partition("CMD ")[2])
    assert program == "python"
    assert f"'DRIFTGATE_PORT', {PORTS['serve']['http']}" in arguments[-1]
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {**os.environ, "DRIFTGATE_PORT": str(server.server_port), "no_proxy": "127.0.0.1"}
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
        server.shutdown()
    assert (done.returncode == 0) == (status == 200), done.stderr.decode()


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    ignored = (card.ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "everything is ignored but what is named"
    copied = {
        source
        for stage in STAGES.values()
        for argument in stage.all("COPY")
        if "--from=" not in argument
        for source in card.words(argument)[:-1]
    }
    assert {f"!{source}" for source in copied} == {line for line in ignored if line.startswith("!")}
    assert {source for source in copied if not (card.ROOT / source).exists()} == set()
    packages = PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert all(any(fnmatch(source, package) for source in copied) for package in packages)

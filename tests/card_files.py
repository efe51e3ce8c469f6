"""The card's files as data: manifests, alert rules, dashboards, Dockerfile."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
BASE = ROOT / "k8s" / "base"
RULES = BASE / "prometheus-rules.yaml"
DASHBOARDS = BASE / "dashboards"
RUNBOOKS = ROOT / "docs" / "runbooks.md"
NO_MANIFESTS = {"kustomization.yaml", RULES.name}

Manifest = dict[str, Any]


def kustomization() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    return loaded


def manifest_files() -> list[Path]:
    return sorted(path for path in BASE.glob("*.yaml") if path.name not in NO_MANIFESTS)


def manifests(kind: str | None = None) -> dict[str, Manifest]:
    """By kind/name."""
    found: dict[str, Manifest] = {}
    for path in manifest_files():
        for document in yaml.safe_load_all(path.read_text()):
            if kind in (None, document["kind"]):
                found[f"{document['kind']}/{document['metadata']['name']}"] = document
    return found


def workloads() -> dict[str, Manifest]:
    """Everything that makes pods, by its component."""
    return {
        manifest["metadata"]["labels"]["app.kubernetes.io/component"]: manifest
        for manifest in manifests().values()
        if "template" in manifest["spec"]
    }


def container(component: str) -> dict[str, Any]:
    (only,) = workloads()[component]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def dashboards() -> dict[str, dict[str, Any]]:
    """As they are committed, by the name of their file."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.iterdir())}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that show something, without the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """What one panel of a dashboard asks."""

    dashboard: str
    panel: str
    expr: str
    legend: str


def queries() -> dict[str, PanelQuery]:
    """Every query of every dashboard, by a name that a person can find it by."""
    return {
        f"{name.removesuffix('.json')}: {panel['title']} {target['refId']}": PanelQuery(
            name, panel["title"], target["expr"], target["legendFormat"]
        )
        for name, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    }


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    """Instruction and its argument."""

    def all(self, instruction: str) -> list[str]:
        return [argument for known, argument in self.steps if known == instruction]


def dockerfile() -> dict[str, Stage]:
    """The stages by name, in order."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    stage = None
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, argument = line.partition(" ")
        if instruction == "FROM":
            base, _, name = argument.partition(" AS ")
            stage = stages[name] = Stage(name, base)
        else:
            assert stage is not None, f"{line!r} stands before the first FROM"
            stage.steps.append((instruction, argument))
    return stages


def lineage(stages: dict[str, Stage], target: str) -> list[Stage]:
    """The stages that `target` stands on, itself last."""
    stage = stages.get(target)
    return [] if stage is None else [*lineage(stages, stage.base), stage]


def inside(stages: dict[str, Stage], target: str) -> list[Stage]:
    """Every stage whose work ends up in `target`: what it stands on and what it copies from."""
    found: dict[str, Stage] = {}
    for stage in lineage(stages, target):
        for copied in stage.all("COPY"):
            if source := re.search(r"--from=(\S+)", copied):
                found |= {s.name: s for s in inside(stages, source[1])}
        found[stage.name] = stage
    return list(found.values())


def words(argument: str) -> list[str]:
    """An instruction's argument in exec form (JSON) or as a shell would split it."""
    return list(json.loads(argument)) if argument.startswith("[") else shlex.split(argument)

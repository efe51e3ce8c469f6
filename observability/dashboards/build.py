"""Writes the dashboards where the kustomization and Grafana's provisioning take them from.

    python -m observability.dashboards.build

The files are committed: who deploys needs no Python, and a change of a dashboard is seen as what it is.
"""

import json
from pathlib import Path

from observability.dashboards import capacity, drift, fleet, model, rollout
from observability.dashboards.dashboard import Dashboard

FOLDER = Path(__file__).parents[2] / "k8s" / "base" / "dashboards"
DASHBOARDS: tuple[Dashboard, ...] = (
    fleet.DASHBOARD,
    model.DASHBOARD,
    drift.DASHBOARD,
    rollout.DASHBOARD,
    capacity.DASHBOARD,
)


def built() -> dict[str, str]:
    """What each file holds, by its name."""
    return {f"{one.uid}.json": json.dumps(one.as_json(DASHBOARDS), indent=2) + "\n" for one in DASHBOARDS}


def write(folder: Path) -> None:
    """Make `folder` hold the dashboards and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    files = built()
    for path in folder.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    write(FOLDER)

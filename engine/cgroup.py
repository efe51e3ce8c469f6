"""The control groups that this process is in: they may allow it less than the machine has (cgroups(7))."""

from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def own_groups() -> Iterator[tuple[list[str], Path]]:
    """Controllers and folder of each group that holds this process, inner ones first; no controllers means v2."""
    for controllers, folder in _own_folders():
        for place in (folder, *folder.parents):
            if not place.is_relative_to(_CGROUPS):
                break
            yield controllers, place


def _own_folders() -> Iterator[tuple[list[str], Path]]:
    if not _OWN_CGROUP.exists():
        return
    for line in _OWN_CGROUP.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        top = _CGROUPS / controllers if controllers else _CGROUPS
        folder = top / path.lstrip("/")
        # In a container the path may be that of the host, while the container sees its own folder at the top.
        yield controllers.split(",") if controllers else [], folder if folder.exists() else top

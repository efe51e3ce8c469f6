"""`driftgate doctor`: what is installed here, and whether all is in order. It looks and changes nothing."""

import os
import platform
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import fsspec
import typer

from cli.db_commands import check_schema, shown_url, store_is_missing
from cli.extras import EXTRAS, missing_packages
from cli.output import AsJson, show, table
from cli.parts import installed_version, settings_of
from engine.providers.choose import choose_provider
from engine.runtime import installed_build
from store.errors import BadInput, DriftgateError, StoreUnavailable
from store.settings import Settings

_VERSIONS = ("fastapi", "sqlalchemy", "numpy", "tokenizers", "torch", "transformers", "peft", "evidently")


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    state: str
    """ok, absent (an optional part that is not there) or broken."""
    detail: str


def doctor(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The exit code is 1 when something is broken; an optional part that is absent is not."""
    settings = settings_of(ctx)
    findings = list(examine(settings))
    healthy = all(finding.state != "broken" for finding in findings)
    show(
        {"ok": healthy, "findings": [asdict(finding) for finding in findings]},
        table(("what", "state", "detail"), [(f.name, f.state, f.detail) for f in findings]),
        as_json=as_json,
    )
    if not healthy:
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything that is looked at, one after the other; no trouble hides the next."""
    yield Finding("driftgate", "ok", f"{installed_version()}, Python {platform.python_version()}, {platform.machine()}")
    yield Finding("cores", "ok", f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}")
    yield Finding("packages", "ok", ", ".join(_versions()))
    yield _examined("ONNX Runtime", _runtime)
    yield _examined("provider", lambda: choose_provider(settings.provider).name)
    yield _examined("store", lambda: _store(settings))
    yield _examined("artifacts", lambda: _artifacts(settings))
    for extra in EXTRAS:
        missing = missing_packages(extra)
        advice = f"missing {', '.join(missing)}; pip install 'driftgate[{extra}]'"
        yield Finding(f"extra {extra}", "absent" if missing else "ok", advice if missing else "complete")


def _examined(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", look())
    except DriftgateError as error:
        return Finding(name, "broken", str(error))


def _versions() -> Iterator[str]:
    for name in _VERSIONS:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue


def _runtime() -> str:
    build = installed_build()
    import onnxruntime  # only after the build is known to be whole

    return f"{build} {metadata.version(build)} offers {', '.join(onnxruntime.get_available_providers())}"


def _store(settings: Settings) -> str:
    if settings.embedded and store_is_missing(settings):
        return f"{shown_url(settings)} does not exist yet and will be made in {_writable_parent(settings.home)}"
    return f"{shown_url(settings)} answers and is at schema {check_schema(settings)}"


def _artifacts(settings: Settings) -> str:
    """Writes an empty file and takes it away again, unless the folder is still to be made."""
    try:
        files, root = fsspec.core.url_to_fs(settings.artifacts)
    except (ImportError, ValueError) as error:
        raise BadInput(f"{settings.artifacts} cannot be opened: {error}") from None
    if settings.artifacts_url is None and not Path(root).exists():
        return f"{root} does not exist yet and will be made in {_writable_parent(Path(root))}"
    probe = f"{root}/.doctor-{uuid.uuid4().hex}"
    try:
        files.pipe_file(probe, b"")
        files.rm_file(probe)
    except Exception as error:  # each kind of storage raises errors of its own library
        raise StoreUnavailable(f"cannot write to {settings.artifacts}: {type(error).__name__}: {error}") from error
    return f"{settings.artifacts} can be written to"


def _writable_parent(folder: Path) -> Path:
    """The nearest folder that exists. Raises StoreUnavailable where nothing can be made in it."""
    parent = folder.resolve()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise StoreUnavailable(f"cannot make {folder} below {parent}; choose another DRIFTGATE_HOME")
    return parent

"""Which build of ONNX Runtime is installed: exactly one may be."""

from importlib import metadata

from store.errors import Broken

BUILDS = {"onnxruntime": "cpu", "onnxruntime-openvino": "openvino", "onnxruntime-gpu": "gpu"}
"""Distributions that all install the import package `onnxruntime`, and the extra that brings each."""


class RuntimeBuild(Broken):
    kind = "runtime-build"
    title = "ONNX Runtime is not installed rightly"


def installed_build() -> str:
    """The one installed build's distribution name. Raises RuntimeBuild for none or several."""
    found = [name for name in BUILDS if _is_installed(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RuntimeBuild("no ONNX Runtime is installed; install exactly one: pip install 'driftgate[cpu]'")
    raise RuntimeBuild(
        f"{' and '.join(found)} are installed and overwrite each other; keep one: "
        f"pip uninstall -y {' '.join(found)} && pip install 'driftgate[{BUILDS[found[0]]}]'"
    )


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True

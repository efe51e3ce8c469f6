"""Picks the execution provider, in one place."""

from engine.providers.seam import Provider
from engine.runtime import installed_build
from store.errors import Refused
from store.logs import get_log

NAMES = ("cpu", "openvino")
"""What may be asked for by name, beside `auto`."""

_log = get_log("providers")


def choose_provider(asked: str) -> Provider:
    """The provider to use for `auto` or a name. Raises RuntimeBuild, Refused for one that cannot load here.

    `auto` takes OpenVINO where its build is installed and it loads, else logs why not and takes the CPU provider;
    a provider asked for by name never falls back.
    """
    build = installed_build()
    from engine.providers.cpu import CpuProvider  # only after the build is known to be whole
    from engine.providers.openvino import OpenVinoProvider

    if asked == "cpu":
        return CpuProvider()
    if asked == "openvino":
        return OpenVinoProvider()
    if asked != "auto":
        raise Refused(f"provider {asked!r} is unknown; there are auto, {', '.join(NAMES)}")
    if build == "onnxruntime-openvino":
        try:
            return OpenVinoProvider()
        except Refused as error:
            _log.info("provider_passed_over", provider="openvino", detail=str(error))
    return CpuProvider()

"""A provider that really loads, or an error that says why not."""

import pytest

from engine.providers.choose import choose_provider
from store.errors import Refused


def test_the_plain_build_brings_the_cpu_provider() -> None:
    assert choose_provider("auto").name == "cpu"
    assert choose_provider("cpu").name == "cpu"
    assert choose_provider("cpu").precisions[0] == "fp32"


def test_a_provider_that_cannot_load_is_an_error_not_a_fallback() -> None:
    with pytest.raises(
        Refused, match=r"'openvino' cannot be used here; .* offers .*CPUExecutionProvider.*driftgate\[openvino\]"
    ):
        choose_provider("openvino")


def test_an_unknown_provider_is_refused_with_those_there_are() -> None:
    with pytest.raises(Refused, match="'cuda' is unknown; there are auto, cpu, openvino"):
        choose_provider("cuda")

"""OpenVINO behind ONNX Runtime: its own build, which replaces the plain one (extra `openvino`).

A session of one stream serves one caller at a time, so each lane has one of its own.
"""

import json
from pathlib import Path
from typing import Any

import onnxruntime

from engine.base import GRAPH_FILES
from engine.cores import has_bfloat16
from engine.precision import Precision
from engine.providers.cpu import CpuProvider
from engine.providers.seam import Sessions
from store.errors import Refused

_PROVIDER = "OpenVINOExecutionProvider"
_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoProvider:
    name = "openvino"

    def __init__(self) -> None:
        """Raises Refused where this build of ONNX Runtime has no OpenVINO."""
        offered = onnxruntime.get_available_providers()
        if _PROVIDER not in offered:
            raise Refused(
                f"provider 'openvino' cannot be used here; this build of ONNX Runtime offers {', '.join(offered)}; "
                "install the other one: pip uninstall -y onnxruntime && pip install 'driftgate[openvino]'"
            )

    @property
    def precisions(self) -> tuple[Precision, ...]:
        return ("fp32", "bf16", "int8") if has_bfloat16() else ("fp32", "int8")

    def open(self, bundle: Path, precision: Precision, *, lanes: int) -> Sessions:
        if precision == "int8":  # dynamically quantized products run on ONNX Runtime's own kernels
            return CpuProvider().open(bundle, precision, lanes=lanes)
        graph = bundle / GRAPH_FILES[precision]
        narrow = tuple(_session(graph, _HINTS[precision], threads=1) for _ in range(lanes))
        wide = narrow[0] if lanes == 1 else _session(graph, _HINTS[precision], threads=lanes)
        return Sessions(narrow, wide, spare=narrow[0])


def _session(graph: Path, hint: str, *, threads: int) -> Any:
    """Raises Refused if OpenVINO does not take the graph: ONNX Runtime would go on without it, and only log it."""
    config = {
        "CPU": {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            "ENABLE_CPU_PINNING": "NO",
        }
    }
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(graph),
        options,
        providers=[_PROVIDER],
        provider_options=[{"device_type": "CPU", "load_config": json.dumps(config)}],
    )
    if session.get_providers()[0] != _PROVIDER:
        raise Refused("OpenVINO does not load here although its build is installed; `driftgate doctor` tells more")
    return session

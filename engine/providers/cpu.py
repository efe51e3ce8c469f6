"""ONNX Runtime's own CPU kernels: fp32, and dynamic int8.

Measured for the choices below (AMD EPYC with AVX-512, MiniLM with 64 adapter slots, a mixed load):
- a session of one thread that several threads run at once reaches what a session for each of them does (301 and 302
  texts/s), and holds the weights once;
- the fused SkipLayerNormalization takes 8 times as long as Add and LayerNormalization; without it a batch takes 10 %
  less time, in fp32 as in int8;
- a lone text takes 3.7 to 4.2 ms with all threads that spin while a run lasts, 4.5 ms without spinning and 6.8 ms on
  one thread. Spinning ends with the run, so an idle server uses no core.
"""

from pathlib import Path
from typing import Any

import onnxruntime

from engine.base import GRAPH_FILES
from engine.precision import Precision
from engine.providers.seam import Sessions

_SLOW_FUSIONS = ["SkipLayerNormFusion"]


class CpuProvider:
    name = "cpu"
    precisions: tuple[Precision, ...] = ("fp32", "int8")

    def open(self, bundle: Path, precision: Precision, *, lanes: int) -> Sessions:
        graph = bundle / GRAPH_FILES[precision]
        narrow = _session(graph, threads=1)
        wide = narrow if lanes == 1 else _session(graph, threads=lanes)
        return Sessions(lanes=(narrow,) * lanes, wide=wide, spare=narrow)


def _session(graph: Path, *, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(
        str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW_FUSIONS
    )

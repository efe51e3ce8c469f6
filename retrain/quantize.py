"""Writes the int8 graph of a base: its frozen part in 8 bits, adapters and heads in float as they come.

Weights are rounded once, channel by channel; activations when a batch runs (dynamic quantization). Banks are inputs of
the graph, not constants, so nothing of an adapter is rounded. Why so and not otherwise, with figures:
docs/decisions/0008-int8-graph.md.

Weights keep within 7 bits (`reduce_range`). Processors without VNNI add pairs of products in 16 bits, which 8-bit
weights overflow; with 7 bits every kernel computes the same integers, so a check made on one machine holds on others.
"""

from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

_QUANTIZED = ["MatMul", "Gather"]
"""Linear layers and the embedding tables; products of two activations stay in float."""


def write_int8_graph(fp32: Path, int8: Path) -> None:
    """Quantize the graph file `fp32` into the file `int8`. The same graph gives the same bytes."""
    model = onnx.load(fp32)
    del model.graph.value_info[:]  # the exporter's shapes contradict the quantizer's own shape inference
    add_pre_process_metadata(model)  # what its pre-processing would do, the exporter has done; else it warns
    quantize_dynamic(
        model,
        int8,
        op_types_to_quantize=_QUANTIZED,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"MatMulConstBOnly": True},
    )

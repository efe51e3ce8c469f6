"""Takes the padding out of an exported graph: what is done token by token is done for real tokens only.

A batch of rows of unequal length is padded to its longest one. Linear layers, their activations, norms and residual
sums treat every token alike, so they run here on the tokens of all rows laid one behind the other, [tokens of the
batch, features]; only what looks across a row (attention, adapters, pooling) sees rows, [rows, longest, features].
The technique is that of ByteTransformer (Zhai et al. 2022, arXiv:2210.03052). What it gains here, with figures:
docs/decisions/0010-unpadded-graph.md.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

_ELEMENTWISE = {"Add", "Div", "Erf", "Gelu", "Mul", "Relu", "Sigmoid", "Sub", "Tanh"}
_MASK = "attention_mask"
_PREFIX = "unpad_"


def unpad(model: onnx.ModelProto) -> None:
    """Rewrite `model` in place; its inputs, outputs and answers stay what they are.

    model: has an input `attention_mask`, int64 [rows, longest], 1 for a token and 0 for padding, and states the shapes
    of its values by symbols, as the exporter of PyTorch does. What has no stated shape keeps its padding.
    """
    _Rewriting(model.graph).run()
    onnx.checker.check_model(model)


class _Rewriting:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
        """How many dimensions each has."""
        self._width = _widths(graph)
        """Features of each value that holds a vector for every token of every row."""
        self._nodes: list[onnx.NodeProto] = []
        self._packed: dict[str, str] = {}
        """Values that exist token by token, and under which name."""
        self._unpadded: set[str] = set()
        """Those of them that exist in no other form."""
        self._made: set[str] = set()
        """Those of them that were computed so."""

    def run(self) -> None:
        old = list(self._graph.node)
        self._add_indices()
        for node in old:
            if self._is_token_by_token(node):
                self._add_packed(node)
            else:
                self._restore(node.input)
                self._nodes.append(node)
        self._restore(output.name for output in self._graph.output)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.value_info[:]  # they describe what was

    def _is_token_by_token(self, node: onnx.NodeProto) -> bool:
        if node.op_type == "MatMul":
            return node.input[0] in self._width and self._constants.get(node.input[1]) == 2
        inputs = [name for name in node.input if name not in self._constants]
        broadcast = all(self._constants.get(name, 0) <= 1 for name in node.input)
        known = node.op_type in _ELEMENTWISE or (node.op_type == "LayerNormalization" and _last_axis(node))
        return (
            known
            and broadcast
            and len(node.output) == 1
            and node.output[0] in self._width
            and all(name in self._packed for name in inputs)
            and any(name in self._made for name in inputs)
        )

    def _add_packed(self, node: onnx.NodeProto) -> None:
        packed = onnx.NodeProto()
        packed.CopyFrom(node)
        for i, name in enumerate(node.input):
            if name in self._width:
                packed.input[i] = self._pack(name)
        (output,) = node.output
        packed.output[0] = self._packed[output] = f"{_PREFIX}{output}"
        self._made.add(output)
        self._unpadded.add(output)
        self._nodes.append(packed)

    def _pack(self, name: str) -> str:
        """[rows, longest, features] -> [tokens, features]"""
        if name not in self._packed:
            flat, self._packed[name] = f"{_PREFIX}flat_{name}", f"{_PREFIX}{name}"
            shape = self._constant(f"{_PREFIX}width_{self._width[name]}", [-1, self._width[name]])
            self._nodes.append(helper.make_node("Reshape", [name, shape], [flat]))
            self._nodes.append(helper.make_node("Gather", [flat, f"{_PREFIX}index"], [self._packed[name]], axis=0))
        return self._packed[name]

    def _restore(self, names: Iterable[str]) -> None:
        """[tokens, features] -> [rows, longest, features] where rows are asked for; padding repeats a real token."""
        for name in names:
            if name in self._unpadded:
                self._unpadded.remove(name)
                self._nodes.append(helper.make_node("Gather", [self._packed[name], f"{_PREFIX}places"], [name], axis=0))

    def _add_indices(self) -> None:
        """`index` [tokens]: where each token lies in the padded batch; `places` [rows, longest]: the way back."""
        everything = self._constant(f"{_PREFIX}everything", [-1])
        one, zero = self._constant(f"{_PREFIX}one", 1), self._constant(f"{_PREFIX}zero", 0)
        steps: list[tuple[str, Sequence[str], str]] = [
            ("Reshape", [_MASK, everything], "mask"),
            ("NonZero", [f"{_PREFIX}mask"], "found"),
            ("Reshape", [f"{_PREFIX}found", everything], "index"),
            ("CumSum", [f"{_PREFIX}mask", zero], "counted"),
            ("Sub", [f"{_PREFIX}counted", one], "place"),
            ("Shape", [_MASK], "shape"),
            ("Reshape", [f"{_PREFIX}place", f"{_PREFIX}shape"], "places"),
        ]
        self._nodes += [helper.make_node(op, inputs, [f"{_PREFIX}{output}"]) for op, inputs, output in steps]

    def _constant(self, name: str, value: int | list[int]) -> str:
        if name not in self._constants:
            array = np.asarray(value, np.int64)
            self._constants[name] = array.ndim
            self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name


def _widths(graph: onnx.GraphProto) -> dict[str, int]:
    """Of the values whose stated shape is that of the mask and one more, known dimension."""
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.value_info, *graph.output]
    }
    rows_tokens = shapes[_MASK]
    return {
        name: int(shape[2])
        for name, shape in shapes.items()
        if len(shape) == 3 and shape[:2] == rows_tokens and isinstance(shape[2], int)
    }


def _last_axis(node: onnx.NodeProto) -> bool:
    return all(helper.get_attribute_value(a) == -1 for a in node.attribute if a.name == "axis")

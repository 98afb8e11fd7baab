"""Cumulative error: all layers quantized, the error at each layer's own output.

One graph holds the float network and the quantized one side by side and reduces their difference
to three numbers a layer, so that no activation leaves ONNX Runtime.
"""

__all__ = ["LayerSums", "cumulative"]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare import Samples
from quant.graph import Graph, named_values
from quant.grid_nodes import behind_grid
from quant.layers import Layer
from quant.metrics import cosine, sqnr_of_sums
from quant.opset import level_with
from quant.simulate import open_simulation

PREFIX = "quantized/"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSums:
    """Sums of squares at one layer's output: float, quantized, and their difference."""

    signal: float
    other: float
    noise: float

    @property
    def sqnr_db(self) -> float:
        """In dB; higher is better."""
        return sqnr_of_sums(self.signal, self.noise)

    @property
    def cosine(self) -> float:
        """1 is best."""
        return cosine(self.signal, self.other, self.noise)


def cumulative(
    graph: Graph,
    quantized: ir.Model,
    measured: Sequence[Layer],
    batches: Iterable[Samples],
    threads: int = 0,
) -> dict[str, LayerSums]:
    """Return the sums of each layer by node name.

    Args:
        graph: The prepared graph.
        quantized: What `quantize_graph` made of it.
        measured: Layers of `graph`.
        batches: Samples; a padded batch counts its padding, so batches must be full.
        threads: Threads inside one operator; 0 for all cores.
    """
    session = open_simulation(_joint(graph, quantized, measured), threads)
    total: NDArray[np.float64] = np.zeros((len(measured), 3))
    for batch in batches:
        (sums,) = session.run(["quant.sums"], dict(batch.feeds))
        rows = sums.astype(np.float64).reshape(-1, 3)
        total += np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0)
    return {
        layer.name: LayerSums(signal=float(a), other=float(b), noise=float(c))
        for layer, (a, b, c) in zip(measured, total, strict=True)
    }


def _joint(graph: Graph, quantized: ir.Model, measured: Sequence[Layer]) -> ir.Model:
    """Return one model with both networks; its output is float32 `[3 * layers]`."""
    joint = level_with(graph.clone(), quantized)
    other = quantized.clone()
    values = named_values(joint)
    twins = named_values(other)
    for name, value in twins.items():
        if not (value.is_graph_input() and not value.is_initializer()):
            value.name = PREFIX + name
    inputs = {str(v.name): v for v in joint.graph.inputs}
    for value in list(other.graph.inputs):
        if str(value.name) in inputs:
            value.replace_all_uses_with(inputs[str(value.name)])
    for value in list(other.graph.initializers.values()):
        fresh = ir.Value(name=value.name, const_value=value.const_value)
        value.replace_all_uses_with(fresh, replace_graph_outputs=True)
        joint.graph.register_initializer(fresh)
    nodes = list(other.graph)
    other.graph.outputs.clear()
    other.graph.remove(nodes)
    for node in nodes:
        node.name = f"{PREFIX}{node.name}"
    joint.graph.extend(nodes)
    found = []
    for layer in measured:
        name = str(layer.output.name)
        found += _sums(joint.graph, values[name], behind_grid(twins[name]))
    flat = [_reshape(joint.graph, value) for value in found]
    result = _append(joint.graph, "Concat", flat, {"axis": 0})
    result.name, result.dtype = "quant.sums", ir.DataType.FLOAT
    joint.graph.outputs.clear()
    joint.graph.outputs.append(result)
    joint.graph.sort()
    return joint


def _sums(graph: ir.Graph, a: ir.Value, b: ir.Value) -> list[ir.Value]:
    """Append the three sums of squares."""
    difference = _append(graph, "Sub", [a, b], {})
    return [_append(graph, "ReduceSumSquare", [v], {"keepdims": 0}) for v in (a, b, difference)]


def _append(
    graph: ir.Graph, op: str, inputs: Sequence[ir.Value], attributes: dict[str, Any]
) -> ir.Value:
    node = ir.node(op, list(inputs), attributes)
    graph.append(node)
    return node.outputs[0]


def _reshape(graph: ir.Graph, value: ir.Value) -> ir.Value:
    one = graph.initializers.get("quant.one")
    if one is None:
        one = ir.Value(name="quant.one", const_value=ir.tensor(np.array([1]), name="quant.one"))
        graph.register_initializer(one)
    return _append(graph, "Reshape", [value, one], {})

"""Work: what a layer does for one sample, before any chip: operations, and numbers moved."""

__all__ = ["FREE", "Work", "batch_of", "elements_of", "sized", "weights_of", "works"]

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from quant.cost.work_count import MATRIX, operations_of
from quant.graph.layers import VIEWS, Layer, layers
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes

FREE = (VIEWS - {"Transpose"}) | {"Dropout", "Shape", "Size", "Constant"}
"""Operators that move nothing: another view of the same bytes. A Transpose moves every one."""

PICKS = frozenset({"Gather", "GatherElements", "GatherND", "Slice"})
"""Operators that read of their first input only what they give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One layer's work for one sample.

    Attributes:
        layer: The node's name.
        op: Its type.
        macs: Multiply-accumulates.
        operations: 2 for each of `macs`; of other operators their own count.
        activations: Float numbers read and written, constants of operators without weights too.
        weights: Numbers of the weights.
        biases: Numbers of the biases.
        other_bytes: Bytes of what is not float: indices, masks.
        known: False where a shape is not known or the operator holds graphs of its own.
    """

    layer: str
    op: str
    macs: int = 0
    operations: int = 0
    activations: int = 0
    weights: int = 0
    biases: int = 0
    other_bytes: int = 0
    known: bool = True


def sized(graph: Graph, sizes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """Return the graph with the lengths of its inputs filled in and its shapes inferred.

    Args:
        graph: The prepared graph.
        sizes: Shape by input name, batch axis included; a first axis that nobody gives becomes 1.
    """
    fixed = Graph(graph.clone(), graph.name)
    for value in fixed.inputs:
        if sizes and str(value.name) in sizes:
            value.shape = ir.Shape(sizes[str(value.name)])
        elif value.shape is not None and len(value.shape):
            first = value.shape[0]
            value.shape = ir.Shape([first if isinstance(first, int) else 1, *value.shape[1:]])
    for value in fixed.outputs:
        value.shape = None
    infer_shapes(fixed.model)
    return fixed


def works(graph: Graph) -> list[Work]:
    """Return the work of each layer of a graph with known shapes, in topological order.

    A graph whose first input has a batch of B gives a B-th of its counts; the weights count whole.
    """
    batch = batch_of(graph)
    return [_work(layer, batch) for layer in layers(graph)]


def batch_of(graph: Graph) -> int:
    """Return the length of the first input's first axis, 1 where it is not known."""
    shape = graph.inputs[0].shape if graph.inputs else None
    first = shape[0] if shape is not None and len(shape) else 1
    return first if isinstance(first, int) and first > 0 else 1


def elements_of(value: ir.Value | None) -> int | None:
    """Return the numbers of a tensor, every axis counted; None where a length is not known."""
    if value is None or value.shape is None:
        return None
    sizes = [d for d in value.shape if isinstance(d, int)]
    return prod(sizes) if len(sizes) == len(value.shape) else None


def weights_of(node: ir.Node) -> list[ir.Value]:
    """Return the constants of rank 2 or more that a matrix operator multiplies with."""
    if node.op_type not in MATRIX:
        return []
    found = [v for v in node.inputs if v is not None and v.is_initializer()]
    return [v for v in found if v.shape is not None and len(v.shape) > 1]


def _work(layer: Layer, batch: int) -> Work:
    """Count one layer."""
    node = layer.node
    if layer.op in FREE:
        return Work(layer=layer.name, op=layer.op)
    nested = any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values())
    weights = weights_of(node)
    inputs = [v for v in node.inputs if v is not None and v not in weights]
    constants = [v for v in inputs if v.is_initializer()] if layer.op in MATRIX else []
    moved = [v for v in inputs if v not in constants]
    outputs = layer.outputs
    counts = {v: elements_of(v) for v in (*weights, *constants, *moved, *outputs)}
    counted = operations_of(node)
    if nested or counted is None or any(n is None for n in counts.values()):
        return Work(layer=layer.name, op=layer.op, known=False)
    known = {v: n for v, n in counts.items() if n is not None}
    if layer.op in PICKS and moved and not moved[0].is_initializer():
        known[moved[0]] = min(known[moved[0]], known[outputs[0]])
    elif layer.op in PICKS and moved:
        known[moved[0]] = known[outputs[0]]
    macs, operations = counted
    real = [known[v] for v in (*moved, *outputs) if v.dtype in (None, ir.DataType.FLOAT)]
    rest = [known[v] * _width(v) for v in (*moved, *outputs) if not _is_float(v)]
    return Work(
        layer=layer.name,
        op=layer.op,
        macs=macs // batch,
        operations=operations // batch,
        activations=sum(real) // batch,
        weights=sum(known[v] for v in weights),
        biases=sum(known[v] for v in constants),
        other_bytes=sum(rest) // batch,
    )


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (None, ir.DataType.FLOAT)


def _width(value: ir.Value) -> int:
    """Return the bytes of one number, 8 for a text, whose length no type says."""
    if value.dtype is None or value.dtype == ir.DataType.STRING:
        return 8
    return max(1, int(value.dtype.itemsize))

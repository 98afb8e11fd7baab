"""The work of each layer for one sample, on any chip: its operations and the numbers it moves."""

__all__ = [
    "FREE",
    "MATRIX",
    "Work",
    "batch_of",
    "elements_of",
    "layer_work",
    "operations_of",
    "weights_of",
    "with_input_sizes",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from quant.graph.layer import Layer
from quant.graph.layers import VIEWS
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Matrix products of a recurrent cell, each with the input and with the state."""

MATRIX = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", *GATES})
"""Operators that multiply and accumulate."""

MOVES = frozenset(
    {"Concat", "Split", "Transpose", "Pad", "Expand", "Tile", "Cast", "DepthToSpace"}
    | {"SpaceToDepth", "Slice", "Gather", "GatherElements", "GatherND", "Where", "ScatterND"}
    | {"ScatterElements", "ConstantOfShape", "Range", "OneHot", "Upsample"}
)
"""Operators that only move numbers."""

REDUCES = ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "ArgMax", "ArgMin", "TopK")
"""Operators, besides those that begin with Reduce, with one operation per number of their input."""

STEPS = {
    "Softmax": 5,  # maximum, difference, exponential, sum, quotient
    "LogSoftmax": 5,
    "LayerNormalization": 7,  # mean, difference, square, sum, scale, gain, shift
    "InstanceNormalization": 7,
    "GroupNormalization": 7,
    "BatchNormalization": 2,
}
"""Operations per output number; 1 for operators that are not listed."""


def operations_of(node: ir.Node) -> tuple[int, int] | None:
    """Return the multiply-accumulates and operations of a node for the whole batch.

    A multiply-accumulate is two operations. Conv: output elements * weight elements / output
    channels. ConvTranspose: input elements * weight elements / input channels. Gemm and MatMul:
    output elements * the length of the reduced axis, whether or not the second operand is
    constant. LSTM, GRU, RNN: steps * gates * state * (input + state). Other operators have no
    multiply-accumulates: a pooling counts its window for each output, a Resize two operations for
    each number it weighs, reductions their input, and all others `STEPS` or one operation for each
    output number.

    Returns:
        None where a length is not known.
    """
    if node.op_type in MATRIX:
        macs = _macs(node)
        return None if macs is None else (macs, 2 * macs)
    count = _count(node)
    return None if count is None else (0, count)


def _macs(node: ir.Node) -> int | None:
    first, second, output = (_sizes(v) for v in (node.inputs[0], _second(node), node.outputs[0]))
    op = node.op_type
    if op in GATES and first is not None and second is not None:
        steps, state = prod(first[:2]), second[1] // GATES[op]  # [steps, batch, input]
        return steps * second[0] * GATES[op] * state * (second[2] + state)
    if op == "Einsum":
        return _einsum(node)
    if op == "ConvTranspose" and first is not None and second is not None:
        return prod(first) * prod(second[1:])
    if output is None or second is None:
        return None
    if op == "Conv":
        return prod(output) * prod(second[1:])
    if op == "Gemm":
        return prod(output) * second[1 if node.attributes.get_int("transB", 0) else 0]
    return prod(output) * second[-2 if len(second) > 1 else 0] if op == "MatMul" else None


def _einsum(node: ir.Node) -> int | None:
    """Return the product of the lengths of all letters of the equation."""
    equation = node.attributes.get_string("equation", "").replace(" ", "").split("->")[0]
    lengths: dict[str, int] = {}
    for letters, value in zip(equation.split(","), node.inputs, strict=False):
        sizes = _sizes(value)
        if sizes is None or len(sizes) != len(letters) or "." in letters:
            return None
        lengths.update(zip(letters, sizes, strict=True))
    return prod(lengths.values())


def _count(node: ir.Node) -> int | None:
    """Return the operations of a node without multiply-accumulates."""
    op = node.op_type
    outputs = [_sizes(v) for v in node.outputs if v.name]
    inputs = [_sizes(v) for v in node.inputs if v is not None]
    if op in MOVES:
        return 0
    if any(s is None for s in (*outputs, *inputs)):
        return None
    read = max((prod(s) for s in inputs if s is not None), default=0)
    written = sum(prod(s) for s in outputs if s is not None)
    if op == "Resize":
        return written * _taps(node, inputs[0] or (), outputs[0] or ())
    if op.startswith("Reduce") or op in REDUCES:
        return read
    if "kernel_shape" in node.attributes:
        return written * prod(node.attributes["kernel_shape"].as_ints())
    return written * STEPS.get(op, 1)


def _taps(node: ir.Node, before: Sequence[int], after: Sequence[int]) -> int:
    """Return the operations of a Resize per output number: two for each number it weighs."""
    wide = {"nearest": 0, "linear": 2, "cubic": 4}
    taps = wide.get(node.attributes.get_string("mode", "nearest"), 2)
    axes = sum(a != b for a, b in zip(before, after, strict=False))
    return 2 * taps**axes if taps and axes else 0


def _second(node: ir.Node) -> ir.Value | None:
    return node.inputs[1] if len(node.inputs) > 1 else None


def _sizes(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return a tensor's shape, or None where a length is not known."""
    if value is None or value.shape is None:
        return None
    sizes = tuple(d for d in value.shape if isinstance(d, int))
    return sizes if len(sizes) == len(value.shape) else None


FREE = (VIEWS - {"Transpose"}) | {"Dropout", "Shape", "Size", "Constant"}
"""Operators that move nothing: a view of the same bytes. A Transpose moves every byte."""

PICKS = frozenset({"Gather", "GatherElements", "GatherND", "Slice"})
"""Operators that read only the numbers of their first input that they return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One layer's work for one sample.

    Attributes:
        layer: Name of the node.
        op: Type of the operator.
        macs: Multiply-accumulates.
        operations: 2 for each multiply-accumulate; other operators have their own count.
        activations: Float numbers read and written, including constants of operators without weights.
        weights: Number of weight elements.
        biases: Number of bias elements.
        other_bytes: Bytes of tensors that are not float: indices, masks.
        known: False where a shape is not known or the operator contains graphs of its own.
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


def with_input_sizes(graph: Graph, sizes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """Return the graph with the lengths of its inputs filled in and its shapes inferred.

    Args:
        graph: The prepared graph.
        sizes: Shape by input name, including the batch axis; an open first axis without one becomes 1.
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


def layer_work(graph: Graph) -> list[Work]:
    """Return the work of each layer of a graph with known shapes, in topological order.

    Counts of a batch of B, the first axis of the first input, are divided by B; weights are not.
    """
    batch = batch_of(graph)
    return [_work(layer, batch) for layer in graph.layers]


def batch_of(graph: Graph) -> int:
    """Return the length of the first input's first axis, 1 where it is not known."""
    shape = graph.inputs[0].shape if graph.inputs else None
    first = shape[0] if shape is not None and len(shape) else 1
    return first if isinstance(first, int) and first > 0 else 1


def elements_of(value: ir.Value | None) -> int | None:
    """Return the number of elements of a tensor; None where a length is not known."""
    if value is None or value.shape is None:
        return None
    sizes = [d for d in value.shape if isinstance(d, int)]
    return prod(sizes) if len(sizes) == len(value.shape) else None


def weights_of(node: ir.Node) -> list[ir.Value]:
    """Return the constants of rank 2 or more that a matrix operator multiplies with."""
    if node.op_type not in MATRIX:
        return []
    constants = [v for v in node.inputs if v is not None and v.is_initializer()]
    return [v for v in constants if v.shape is not None and len(v.shape) > 1]


def _work(layer: Layer, batch: int) -> Work:
    """Return the work of one layer."""
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
    elements = {v: n for v, n in counts.items() if n is not None}
    if layer.op in PICKS and moved and not moved[0].is_initializer():
        elements[moved[0]] = min(elements[moved[0]], elements[outputs[0]])
    elif layer.op in PICKS and moved:
        elements[moved[0]] = elements[outputs[0]]
    macs, operations = counted
    real = [elements[v] for v in (*moved, *outputs) if v.dtype in (None, ir.DataType.FLOAT)]
    other = [elements[v] * _width(v) for v in (*moved, *outputs) if not _is_float(v)]
    return Work(
        layer=layer.name,
        op=layer.op,
        macs=macs // batch,
        operations=operations // batch,
        activations=sum(real) // batch,
        weights=sum(elements[v] for v in weights),
        biases=sum(elements[v] for v in constants),
        other_bytes=sum(other) // batch,
    )


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (None, ir.DataType.FLOAT)


def _width(value: ir.Value) -> int:
    """Return the bytes of one element; 8 for a string, whose length the type does not say."""
    if value.dtype is None or value.dtype == ir.DataType.STRING:
        return 8
    return max(1, int(value.dtype.itemsize))

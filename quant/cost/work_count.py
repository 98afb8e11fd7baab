"""Counting: multiply-accumulates and operations of one node, from the shapes around it."""

__all__ = ["MATRIX", "operations_of"]

from collections.abc import Sequence
from math import prod

import onnx_ir as ir

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Matrix products of a recurrent cell, each with the input and with the state."""

MATRIX = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", *GATES})
"""Operators that multiply and accumulate."""

MOVES = frozenset(
    {"Concat", "Split", "Transpose", "Pad", "Expand", "Tile", "Cast", "DepthToSpace"}
    | {"SpaceToDepth", "Slice", "Gather", "GatherElements", "GatherND", "Where", "ScatterND"}
    | {"ScatterElements", "ConstantOfShape", "Range", "OneHot", "Upsample"}
)
"""Operators that compute nothing."""

REDUCES = ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "ArgMax", "ArgMin", "TopK")
"""Operators, besides those that begin with Reduce, that look once at each number of their input."""

STEPS = {
    "Softmax": 5,  # maximum, difference, exponential, sum, quotient
    "LogSoftmax": 5,
    "LayerNormalization": 7,  # mean, difference, square, sum, scale, gain, shift
    "InstanceNormalization": 7,
    "GroupNormalization": 7,
    "BatchNormalization": 2,
}
"""Operations for each number; 1 for operators that are not here."""


def operations_of(node: ir.Node) -> tuple[int, int] | None:
    """Return a node's multiply-accumulates and operations, every sample of the batch counted.

    A multiply-accumulate is two operations. Conv: output elements * weight elements / output
    channels. ConvTranspose: input elements * weight elements / input channels. Gemm and MatMul:
    output elements * the length of the reduced axis, whether or not the second operand is
    constant. LSTM, GRU, RNN: steps * gates * state * (input + state). Others have no
    multiply-accumulates: a pooling counts its window for each output, a Resize two operations for
    each number it weighs, reductions their input, the rest one for each number they give, or what
    `STEPS` says.

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
    given = sum(prod(s) for s in outputs if s is not None)
    if op == "Resize":
        return given * _taps(node, inputs[0] or (), outputs[0] or ())
    if op.startswith("Reduce") or op in REDUCES:
        return read
    if "kernel_shape" in node.attributes:
        return given * prod(node.attributes["kernel_shape"].as_ints())
    return given * STEPS.get(op, 1)


def _taps(node: ir.Node, before: Sequence[int], after: Sequence[int]) -> int:
    """Return the operations of a Resize for each number it gives: two for each one it weighs."""
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

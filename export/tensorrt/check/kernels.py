"""Check for layers whose shapes have no fast 8-bit kernel: rules 22 to 24.

Source: ModelOpt 0.47 `find_nodes_from_convs_to_exclude` and its GEMV rule; TensorRT issues 3987,
4524.
"""

__all__ = ["KERNELS", "slow_shape_reason"]

from collections.abc import Iterator
from math import prod

import onnx_ir as ir

from quant.export.qdq.nodes import input_of, is_quantizer, readers, shape_of
from quant.export.qdq.walk import (
    EPILOGUES,
    TRANSPARENT,
    channels,
    dequantizer,
    is_integer,
    weight_shape,
    weight_source,
)
from quant.export.tensorrt.check.network import Network, Rule, finding
from quant.graph.prepared_graph import WEIGHTED
from quant.target.finding import Finding

WANTED_SHAPE = "16 or more of both, or one of the shapes with a kernel"
MIN_CHANNELS = 16
"""Channels below which an integer kernel leaves tensor cores idle."""


def slow_shape_reason(node: ir.Node, *, fp8: bool = False) -> str | None:
    """Return the reason why a weighted node's shape has no fast 8-bit kernel, or None.

    Args:
        node: A Conv, Gemm or MatMul with a constant weight; other nodes give None.
        fp8: The kernel is FP8 instead of INT8.
    """
    outputs, inputs = channels(node)
    if weight_source(node) is None or not outputs:
        return None
    if node.op_type == "Conv":
        kernel = weight_shape(node)[2:]
        group = node.attributes.get_int("group", 1)
        return (
            _fp8_conv(outputs, inputs, group, kernel)
            if fp8
            else _conv(node, outputs, inputs, group, kernel)
        )
    if node.op_type in ("Gemm", "MatMul"):
        return _gemm(node, outputs, inputs)
    return None


def _conv(node: ir.Node, outputs: int, inputs: int, group: int, kernel: list[int]) -> str | None:
    if outputs >= MIN_CHANNELS and inputs >= MIN_CHANNELS:
        return None
    is_first = _is_first(node)
    eights = outputs % 8 == 0 or inputs % 8 == 0
    dense = (
        group == 1
        and eights
        and (is_first or max(outputs, inputs) >= MIN_CHANNELS)
        and len(set(kernel)) == 1
    )
    depthwise = group > 1 and outputs % 8 == 0 and all(k >= 3 for k in kernel)
    if dense or depthwise:
        return None
    return (
        f"{outputs} output and {inputs} input channels a group, kernel {'x'.join(map(str, kernel))}"
    )


def _fp8_conv(outputs: int, inputs: int, group: int, kernel: list[int]) -> str | None:
    if group > 1:
        return f"{group} groups in FP8"
    if outputs <= MIN_CHANNELS or inputs <= MIN_CHANNELS or prod(kernel) > 32:
        return f"{outputs} output and {inputs} input channels, filter area {prod(kernel)}, in FP8"
    return None


def _gemm(node: ir.Node, columns: int, depth: int) -> str | None:
    shape = shape_of(input_of(node, 0)) or []
    rows = shape[-2] if len(shape) > 1 else None
    if rows == 1 or columns == 1:
        return "a matrix times a vector"
    if depth < MIN_CHANNELS or columns < MIN_CHANNELS:
        return f"K = {depth} and N = {columns}"
    return None


def _is_first(node: ir.Node) -> bool:
    """Return whether a node reads the network's input, past quantizers, activations and pools."""
    value = input_of(node, 0)
    while value is not None and (producer := value.producer()) is not None:
        if producer.op_type in WEIGHTED or not (
            is_quantizer(producer) or producer.op_type in EPILOGUES | TRANSPARENT | {"Cast"}
        ):
            return False
        value = input_of(producer, 0)
    return value is not None and not value.is_initializer()


def _is_last(node: ir.Node) -> bool:
    """Return whether no weighted node follows a node."""
    visited: set[ir.Node] = set()
    todo = [node]
    while todo:
        for reader, _ in readers(todo.pop().outputs[0]):
            if reader.op_type in WEIGHTED:
                return False
            if reader not in visited and reader.outputs:
                visited.add(reader)
                todo.append(reader)
    return True


def _integer_layers(net: Network) -> Iterator[tuple[ir.Node, bool]]:
    """Yield the quantized weighted nodes, and whether their weight is FP8."""
    for node in net.ops(*WEIGHTED):
        dequantize = dequantizer(input_of(node, 1)) if is_integer(node) else None
        if (
            dequantize is None
            or weight_source(node) is None
            or dequantizer(input_of(node, 0)) is None
        ):
            continue
        zero = input_of(dequantize, 2)
        yield node, zero is not None and zero.dtype == ir.DataType.FLOAT8E4M3FN


def _convolutions(net: Network) -> Iterator[Finding]:
    for node, fp8 in _integer_layers(net):
        reason = slow_shape_reason(node, fp8=fp8) if node.op_type == "Conv" else None
        if reason is not None:
            wanted = "more than 16 of both and no groups" if fp8 else WANTED_SHAPE
            mend = "Keep it float16 (a recipe rule with precision float16) if the engine is slow."
            yield finding(22, "warning", node, saw=reason, wanted=wanted, mend=mend)


def _matrices(net: Network) -> Iterator[Finding]:
    for node, _ in _integer_layers(net):
        reason = slow_shape_reason(node) if node.op_type in ("Gemm", "MatMul") else None
        if reason is not None:
            wanted = f"K and N of {MIN_CHANNELS} or more, and more than one row"
            mend = "Keep it float16 if the engine is slow."
            yield finding(23, "warning", node, saw=reason, wanted=wanted, mend=mend)


def _end_layers(net: Network) -> Iterator[Finding]:
    for node, fp8 in _integer_layers(net):
        shape = weight_shape(node)
        inputs = channels(node)[1]
        position = "first" if _is_first(node) else "last" if _is_last(node) else ""
        if fp8 and shape and inputs < MIN_CHANNELS and position:
            saw = f"FP8 in the {position} layer, {inputs} input channels"
            mend = "Keep it float16."
            yield finding(
                24,
                "warning",
                node,
                saw=saw,
                wanted=f"{MIN_CHANNELS} input channels or more",
                mend=mend,
            )


KERNELS: tuple[Rule, ...] = (_convolutions, _matrices, _end_layers)
"""Rules 22 to 24."""

"""Rules about shapes that TensorRT has no fast integer kernel for.

Source: ModelOpt 0.47 `find_nodes_from_convs_to_exclude` and its GEMV rule; TensorRT issues 3987,
4524.
"""

__all__ = ["KERNELS", "slow_shapes"]

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

WANTED = "16 or more of both, or one of the shapes with a kernel"
LEAST = 16
"""Channels under which the tensor cores of an integer kernel lie idle."""


def slow_shapes(node: ir.Node, *, fp8: bool = False) -> str | None:
    """Return why TensorRT has no fast 8-bit kernel for a weighted node's shape, or None.

    Args:
        node: A Conv, Gemm or MatMul with a constant weight; others get None.
        fp8: Ask for FP8 instead of INT8.
    """
    out, within = channels(node)
    if weight_source(node) is None or not out:
        return None
    if node.op_type == "Conv":
        size = weight_shape(node)[2:]
        group = node.attributes.get_int("group", 1)
        return _fp8_conv(out, within, group, size) if fp8 else _conv(node, out, within, group, size)
    if node.op_type in ("Gemm", "MatMul"):
        return _gemm(node, out, within)
    return None


def _conv(node: ir.Node, out: int, within: int, group: int, size: list[int]) -> str | None:
    if out >= LEAST and within >= LEAST:
        return None
    first = _is_first(node)
    eights = out % 8 == 0 or within % 8 == 0
    dense = group == 1 and eights and (first or max(out, within) >= LEAST) and len(set(size)) == 1
    depthwise = group > 1 and out % 8 == 0 and all(k >= 3 for k in size)
    if dense or depthwise:
        return None
    return f"{out} output and {within} input channels a group, kernel {'x'.join(map(str, size))}"


def _fp8_conv(out: int, within: int, group: int, size: list[int]) -> str | None:
    if group > 1:
        return f"{group} groups in FP8"
    if out <= LEAST or within <= LEAST or prod(size) > 32:
        return f"{out} output and {within} input channels, filter area {prod(size)}, in FP8"
    return None


def _gemm(node: ir.Node, columns: int, depth: int) -> str | None:
    shape = shape_of(input_of(node, 0)) or []
    rows = shape[-2] if len(shape) > 1 else None
    if rows == 1 or columns == 1:
        return "a matrix times a vector"
    if depth < LEAST or columns < LEAST:
        return f"K = {depth} and N = {columns}"
    return None


def _is_first(node: ir.Node) -> bool:
    """Return whether a node reads the network's input, quantizers and pools in between."""
    value = input_of(node, 0)
    while value is not None and (made := value.producer()) is not None:
        if made.op_type in WEIGHTED or not (
            is_quantizer(made) or made.op_type in EPILOGUES | TRANSPARENT | {"Cast"}
        ):
            return False
        value = input_of(made, 0)
    return value is not None and not value.is_initializer()


def _is_last(node: ir.Node) -> bool:
    """Return whether no weighted node lies behind a node."""
    seen: set[ir.Node] = set()
    todo = [node]
    while todo:
        for reader, _ in readers(todo.pop().outputs[0]):
            if reader.op_type in WEIGHTED:
                return False
            if reader not in seen and reader.outputs:
                seen.add(reader)
                todo.append(reader)
    return True


def _integer(net: Network) -> Iterator[tuple[ir.Node, bool]]:
    """Yield the quantized weighted nodes, and whether their weight is FP8."""
    for node in net.ops(*WEIGHTED):
        made = dequantizer(input_of(node, 1)) if is_integer(node) else None
        if made is None or weight_source(node) is None or dequantizer(input_of(node, 0)) is None:
            continue
        zero = input_of(made, 2)
        yield node, zero is not None and zero.dtype == ir.DataType.FLOAT8E4M3FN


def _convolutions(net: Network) -> Iterator[Finding]:
    for node, fp8 in _integer(net):
        why = slow_shapes(node, fp8=fp8) if node.op_type == "Conv" else None
        if why is not None:
            wanted = "more than 16 of both and no groups" if fp8 else WANTED
            mend = "Keep it float16 (a recipe rule with precision float16) if the engine is slow."
            yield finding(22, "warning", node, saw=why, wanted=wanted, mend=mend)


def _matrices(net: Network) -> Iterator[Finding]:
    for node, _ in _integer(net):
        why = slow_shapes(node) if node.op_type in ("Gemm", "MatMul") else None
        if why is not None:
            wanted = f"K and N of {LEAST} or more, and more than one row"
            mend = "Keep it float16 if the engine is slow."
            yield finding(23, "warning", node, saw=why, wanted=wanted, mend=mend)


def _ends(net: Network) -> Iterator[Finding]:
    for node, fp8 in _integer(net):
        shape = weight_shape(node)
        within = channels(node)[1]
        ends = "first" if _is_first(node) else "last" if _is_last(node) else ""
        if fp8 and shape and within < LEAST and ends:
            saw = f"FP8 in the {ends} layer, {within} input channels"
            mend = "Keep it float16."
            yield finding(
                24, "warning", node, saw=saw, wanted=f"{LEAST} input channels or more", mend=mend
            )


KERNELS: tuple[Rule, ...] = (_convolutions, _matrices, _ends)
"""Rules 22 to 24."""

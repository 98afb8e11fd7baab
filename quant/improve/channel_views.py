"""How the numbers of channels go through nodes that only move or average elements."""

__all__ = ["Ids", "passed_through"]

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int64]
Outputs: TypeAlias = "dict[ir.Value, Ids] | None"


def passed_through(node: ir.Node, inputs: Mapping[int, Ids]) -> dict[ir.Value, Ids] | None:
    """Return the channels of a node's outputs, or None where a factor on them does not commute.

    Args:
        node: Any node.
        inputs: By input index int64 arrays of the input's rank, length 1 along axes that do not tell
            channels apart.
    """
    if node.op_type == "Concat":
        return _concatenated(node, inputs)
    rule = RULES.get(node.op_type)
    return rule(node, inputs[0]) if rule is not None and set(inputs) == {0} else None


def _same(node: ir.Node, ids: Ids) -> Outputs:
    return {node.outputs[0]: ids}


def _pooled(node: ir.Node, ids: Ids) -> Outputs:
    """Pooling goes over axes 2 and up of each channel; a factor above 0 keeps the greatest."""
    flat = ids.ndim > 2 and ids.size == ids.shape[1] and len(node.outputs) == 1
    return {node.outputs[0]: ids} if flat else None


def _transposed(node: ir.Node, ids: Ids) -> Outputs:
    perm = node.attributes.get_ints("perm", list(range(ids.ndim))[::-1])
    return {node.outputs[0]: ids.transpose(perm)}


def _reshaped(node: ir.Node, ids: Ids) -> Outputs:
    """The last axes that hold all channels must be last axes of the result, of as many elements."""
    source, result = node.inputs[0], node.outputs[0]
    if source is None or source.shape is None or result.shape is None:
        return None
    outer = min((a for a, n in enumerate(ids.shape) if n > 1), default=0)
    for first in range(outer, -1, -1):
        tail, size = _tail(source.shape, first), None
        for start in range(len(result.shape) - 1, -1, -1):
            kept = _tail(result.shape, start)
            size = int(np.prod(kept)) if kept is not None else None
            if tail is None or size is None or size > np.prod(tail):
                break
            if size == np.prod(tail):
                spread = np.broadcast_to(ids.reshape(ids.shape[first:]), tail)
                return {result: _short(spread.reshape([1] * start + (kept or [])))}
    return None


def _tail(shape: ir.Shape, first: int) -> list[int] | None:
    """Return the lengths from an axis on, or None where one is not known."""
    tail = list(shape)[first:]
    return (
        [int(d) for d in tail if isinstance(d, int)]
        if all(isinstance(d, int) for d in tail)
        else None
    )


def _short(ids: Ids) -> Ids:
    """Return the array with length 1 along every axis that does not tell channels apart."""
    for axis in range(ids.ndim):
        first = ids.take([0], axis)
        ids = first if np.array_equal(np.broadcast_to(first, ids.shape), ids) else ids
    return ids


def _averaged(node: ir.Node, ids: Ids) -> Outputs:
    """A mean or sum over axes that do not tell channels apart."""
    axes = _numbers(node, 1) or list(node.attributes.get_ints("axes", []))
    if not axes or any(ids.shape[a] != 1 for a in axes):
        return None  # without axes it goes over all of them
    kept = node.attributes.get_int("keepdims", 1)
    places = tuple(a % ids.ndim for a in axes)
    return {node.outputs[0]: ids if kept else ids.squeeze(places)}


def _gathered(node: ir.Node, ids: Ids) -> Outputs:
    index = node.inputs[1]
    axis = node.attributes.get_int("axis", 0) % ids.ndim
    if index is None or index.shape is None:
        return None
    rank = len(index.shape)
    if ids.shape[axis] == 1:
        gathered = ids.reshape([*ids.shape[:axis], *[1] * rank, *ids.shape[axis + 1 :]])
        return {node.outputs[0]: gathered}
    if index.const_value is None:
        return None
    return {node.outputs[0]: np.take(ids, index.const_value.numpy(), axis)}


def _sliced(node: ir.Node, ids: Ids) -> Outputs:
    starts, ends, axes = (_numbers(node, i) for i in (1, 2, 3))
    steps = _numbers(node, 4) or [1] * len(starts or [])
    if starts is None or ends is None:
        return None
    if axes is None and len(node.inputs) > 3 and node.inputs[3] is not None:
        return None
    cut: list[Any] = [slice(None)] * ids.ndim
    for axis, start, end, step in zip(
        axes or range(len(starts)), starts, ends, steps, strict=False
    ):
        if ids.shape[axis] != 1:
            if step < 0:
                return None
            cut[axis] = slice(start, end, step)
    return {node.outputs[0]: ids[tuple(cut)]}


def _split(node: ir.Node, ids: Ids) -> Outputs:
    axis = node.attributes.get_int("axis", 0)
    if ids.shape[axis] == 1:
        return dict.fromkeys(node.outputs, ids)
    sizes = _numbers(node, 1)
    if sizes is None and (len(node.inputs) > 1 or ids.shape[axis] % len(node.outputs)):
        return None
    sizes = sizes or [ids.shape[axis] // len(node.outputs)] * len(node.outputs)
    parts = np.split(ids, np.cumsum(sizes)[:-1], axis)
    return dict(zip(node.outputs, parts, strict=True))


def _squeezed(node: ir.Node, ids: Ids) -> Outputs:
    axes = _numbers(node, 1)
    if axes is None or any(ids.shape[a] != 1 for a in axes):
        return None
    return {node.outputs[0]: ids.squeeze(tuple(a % ids.ndim for a in axes))}


def _unsqueezed(node: ir.Node, ids: Ids) -> Outputs:
    axes = _numbers(node, 1)
    return None if axes is None else {node.outputs[0]: np.expand_dims(ids, tuple(axes))}


def _concatenated(node: ir.Node, inputs: Mapping[int, Ids]) -> Outputs:
    """Parts of the same channels, joined along another axis: the roll of shifted windows."""
    first, *rest = inputs.values()
    axis = node.attributes.get_int("axis", 0)
    alike = len(inputs) == len(node.inputs) and all(np.array_equal(first, x) for x in rest)
    return {node.outputs[0]: first} if alike and first.shape[axis] == 1 else None


def _numbers(node: ir.Node, index: int) -> list[int] | None:
    """Return a constant input as a list."""
    value = node.inputs[index] if len(node.inputs) > index else None
    if value is None or value.const_value is None:
        return None
    return [int(n) for n in value.const_value.numpy().reshape(-1)]


RULES: Mapping[str, Callable[[ir.Node, Ids], Outputs]] = {
    "AveragePool": _pooled,
    "Flatten": _reshaped,
    "Gather": _gathered,
    "GlobalAveragePool": _pooled,
    "Identity": _same,
    "MaxPool": _pooled,
    "ReduceMean": _averaged,
    "ReduceSum": _averaged,
    "Relu": _same,
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
"""What commutes with a factor above 0 on each channel, and how its channels lie."""

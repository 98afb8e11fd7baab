"""Rewrite operators that have another form in older opsets: axes as attributes, Softmax, Resize."""

__all__ = ["CONVERTED", "convert", "convertible"]

import math
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from quant.graph.edit import GraphEditor

REDUCTIONS = tuple(
    f"Reduce{n}"
    for n in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
)
AXES = ("Squeeze", "Unsqueeze", *REDUCTIONS)
SOFTMAX = ("Softmax", "LogSoftmax", "Hardmax")
NEW_FORM_SINCE = {
    **dict.fromkeys(REDUCTIONS, 18),
    **dict.fromkeys(("Squeeze", "Unsqueeze", "ReduceSum", "Split", *SOFTMAX), 13),
    "HardSwish": 14,
    "Resize": 13,
}
"""Operator to the opset in which it took its new form."""

CONVERTED = frozenset(NEW_FORM_SINCE)
"""Operators that are rewritten; all others are only checked."""

RESIZE_SINCE_18 = {
    "antialias": (0,),
    "keep_aspect_ratio_policy": ("stretch",),
}
RESIZE_MODES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


def convertible(node: ir.Node, origin: int, version: int) -> bool:
    """Return whether a node of `CONVERTED` in opset `origin` has a form in `version`."""
    since = NEW_FORM_SINCE[node.op_type]
    if version >= since and node.op_type not in ("Resize", "Split"):
        return True
    if origin < since:
        return True
    if node.op_type in AXES:
        listed = node.inputs[1] if len(node.inputs) > 1 else None
        empty = node.attributes.get_int("noop_with_empty_axes", 0) and listed is None
        return not empty and (listed is None or listed.const_value is not None)
    if node.op_type == "Split":
        return _split_sizes(node) is not None
    if node.op_type in SOFTMAX:
        return _rank(node) is not None
    if node.op_type == "Resize":
        return _is_old_resize(node)
    return True


def convert(edit: GraphEditor, node: ir.Node, origin: int, version: int) -> None:
    """Rewrite a node of opset `origin` for `version`, in place.

    Other operators only lose the attributes at their default that the older opset lacks.
    """
    if node.op_type in CONVERTED and version < NEW_FORM_SINCE[node.op_type] <= origin:
        if node.op_type in AXES:
            _axes_attribute(node)
        elif node.op_type == "Split":
            node.attributes.add(ir.AttrInt64s("split", _split_sizes(node) or []))
            node.resize_inputs(1)
        elif node.op_type in SOFTMAX:
            _softmax(edit, node)
        elif node.op_type == "HardSwish":
            _hard_swish(edit, node)
        elif node.op_type == "Resize":
            _resize(edit, node)
    elif node.op_type == "Split" and version < 18 and "num_outputs" in node.attributes:
        sizes = np.array(_split_sizes(node), np.int64)
        node.resize_inputs(2)
        node.replace_input_with(1, edit.constant(f"{node.name}.split", sizes))
    if origin != version and node.graph is not None:  # a replaced node is in no graph
        _drop_unknown(node, version)


def _drop_unknown(node: ir.Node, version: int) -> None:
    """Drop attributes that the schema of an opset lacks; the caller checked their values."""
    names_known = onnx.defs.get_schema(node.op_type, version).attributes
    for name in [n for n in node.attributes if n not in names_known]:
        del node.attributes[name]


def _axes_attribute(node: ir.Node) -> None:
    listed = node.inputs[1] if len(node.inputs) > 1 else None
    if listed is not None and listed.const_value is not None:
        axes = [int(a) for a in listed.const_value.numpy().reshape(-1)]
        node.attributes.add(ir.AttrInt64s("axes", axes))
    node.resize_inputs(1)


def _split_sizes(node: ir.Node) -> list[int] | None:
    """Return the sizes of a Split's outputs, or None where they are not known."""
    listed = node.inputs[1] if len(node.inputs) > 1 else None
    if listed is not None:
        sizes = listed.const_value
        return None if sizes is None else [int(s) for s in sizes.numpy().reshape(-1)]
    value, axis = node.inputs[0], node.attributes.get_int("axis", 0)
    shape: list[Any] = list(value.shape) if value is not None and value.shape is not None else []
    if not -len(shape) <= axis < len(shape) or not isinstance(shape[axis], int):
        return None
    part = math.ceil(shape[axis] / len(node.outputs))
    return [min(part, shape[axis] - i * part) for i in range(len(node.outputs))]


def _rank(node: ir.Node) -> int | None:
    value = node.inputs[0]
    return len(value.shape) if value is not None and value.shape is not None else None


def _softmax(edit: GraphEditor, node: ir.Node) -> None:
    """Move the axis of a Softmax to the end: before opset 13 it joined all axes from `axis` on."""
    rank = _rank(node) or 1
    axis = node.attributes.get_int("axis", -1) % rank
    node.attributes.add(ir.AttrInt64("axis", rank - 1))
    if axis == rank - 1:
        return
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    name, perm = str(node.name), {"perm": order}
    last = (f"{name}.last", f"{name}.last.output0")
    before = edit.node("Transpose", [node.inputs[0]], perm, last)
    edit.before(node, [before])
    node.replace_input_with(0, before.outputs[0])
    back = (f"{name}.back", f"{name}.output0")
    edit.behind(node, edit.node("Transpose", [node.outputs[0]], perm, back))


def _hard_swish(edit: GraphEditor, node: ir.Node) -> None:
    """HardSwish(x) = x * HardSigmoid(x) with alpha 1/6 and beta 1/2 (ONNX, HardSwish-14)."""
    data = node.inputs[0]
    attributes = {"alpha": 1.0 / 6.0, "beta": 0.5}
    name = str(node.name)
    gate = edit.node("HardSigmoid", [data], attributes, (f"{name}.gate", f"{name}.gate.output0"))
    edit.before(node, [gate])
    product = edit.node("Mul", [data, gate.outputs[0]], {}, (name, f"{name}.output0"))
    edit.behind(node, product)
    edit.model.graph.remove([node], safe=True)
    product.name = name


def _is_old_resize(node: ir.Node) -> bool:
    """Return whether a Resize uses nothing that opset 13, 18 or 19 added."""
    for name, old_values in RESIZE_SINCE_18.items():
        if name in node.attributes and node.attributes[name].value not in old_values:
            return False
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    return "axes" not in node.attributes and mode in RESIZE_MODES


def _resize(edit: GraphEditor, node: ir.Node) -> None:
    """Add the inputs roi and scales, which opset 11 requires; they may be empty."""
    node.resize_inputs(max(3, len(node.inputs)))
    for index, name in ((1, "roi"), (2, "scales")):
        if node.inputs[index] is None:
            empty = np.zeros(0, np.float32)
            node.replace_input_with(index, edit.constant(f"{node.name}.{name}", empty))

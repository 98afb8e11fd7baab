"""Lower a float graph to the lowest opset that can hold it; ATC takes 11 to 18, old ones 11."""

__all__ = ["MAX_OPSET", "MIN_OPSET", "in_lowest_opset", "lowest_opset"]

import onnx
import onnx_ir as ir

from quant.common.errors import UnsupportedError
from quant.export.atlas.graph.lower_opset_rules import CONVERTED, convert, convertible
from quant.graph.edit import GraphEditor

MIN_OPSET, MAX_OPSET = 11, 18
"""Opsets that ATC reads: 11 since the first AMCT for ONNX, up to 18 in the documents of CANN 8."""

CHANGED_MEANING = {
    "GridSample": (20,),  # the modes have other names
    "GroupNormalization": (21,),  # scale per channel instead of per group
}
"""Opsets at which an operator changed its meaning but not its signature; see also CONVERTED."""


def lowest_opset(model: ir.Model, place: str) -> tuple[int, str]:
    """Return the lowest opset of 11 to 18 that can hold the graph, and what keeps it above 11.

    Raises:
        UnsupportedError: No opset can, or an operator is not of ONNX's own domain.
    """
    origin = model.opset_imports.get("", MIN_OPSET)
    for node in model.graph:
        if node.domain not in ("", "ai.onnx"):
            raise UnsupportedError(
                f"{place}, node '{node.name}': ATC takes operators of ONNX's own domain, saw "
                f"'{node.domain}.{node.op_type}'. Export the model with standard operators."
            )
    reason = ""
    for version in range(MIN_OPSET, min(origin, MAX_OPSET) + 1):
        obstacle = next((n for n in model.graph if not _has_form(n, origin, version)), None)
        if obstacle is None:
            return version, reason
        reason = f"{obstacle.op_type} of node '{obstacle.name}'"
    raise UnsupportedError(
        f"{place}: ATC takes ONNX opset {MIN_OPSET} to {MAX_OPSET}, saw opset {origin} and {reason}, "
        "which no lower opset has. Export the model again with opset 17."
    )


def in_lowest_opset(model: ir.Model, place: str) -> ir.Model:
    """Return a copy in its lowest opset; node names and outputs stay.

    Raises:
        UnsupportedError: The cases of `lowest_opset`.
    """
    version, _ = lowest_opset(model, place)
    origin = model.opset_imports.get("", MIN_OPSET)
    edit = GraphEditor(model.clone())
    for node in list(edit.model.graph):
        convert(edit, node, origin, version)
    edit.finish()
    copy = edit.model
    copy.opset_imports.clear()
    copy.opset_imports[""] = version
    copy.ir_version = onnx.helper.OP_SET_ID_VERSION_MAP[("ai.onnx", version)]
    return copy


def _has_form(node: ir.Node, origin: int, version: int) -> bool:
    """Return whether a node of opset `origin` has a form in opset `version`."""
    if version == origin:
        return True
    if any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values()):
        return False
    if node.op_type in CONVERTED:
        return convertible(node, origin, version)
    return _fits(node, origin, version)


def _schema(op: str, version: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(op, version)
    except onnx.defs.SchemaError:
        return None


def _fits(node: ir.Node, origin: int, version: int) -> bool:
    """Return whether the older schema accepts a node without its attributes at their default."""
    new, old = _schema(node.op_type, origin), _schema(node.op_type, version)
    if new is None or old is None:
        return False
    if new.since_version == old.since_version:
        return True
    changes = CHANGED_MEANING.get(node.op_type, ())
    if any(old.since_version < change <= new.since_version for change in changes):
        return False
    return _attributes_fit(node, new, old) and _inputs_fit(node, old)


def _attributes_fit(node: ir.Node, new: onnx.defs.OpSchema, old: onnx.defs.OpSchema) -> bool:
    for name, attribute in node.attributes.items():
        if name not in old.attributes:
            default = new.attributes[name].default_value
            if ir.serde.deserialize_attribute(default).value != attribute.value:
                return False
    for name, formal in old.attributes.items():
        if name in node.attributes:
            continue
        later = new.attributes.get(name)
        if formal.required or later is None or formal.default_value != later.default_value:
            return False
    return True


def _inputs_fit(node: ir.Node, old: onnx.defs.OpSchema) -> bool:
    inputs = list(node.inputs)
    while inputs and inputs[-1] is None:
        inputs.pop()
    if not old.min_input <= len(inputs) <= old.max_input or len(node.outputs) > old.max_output:
        return False
    kinds: dict[str, ir.DataType] = {}
    for index, value in enumerate(inputs):
        formal = old.inputs[min(index, len(old.inputs) - 1)]
        if value is None:
            if formal.option == onnx.defs.OpSchema.FormalParameterOption.Single:
                return False
            continue
        if value.dtype is None:
            continue
        if f"tensor({_schema_name(value.dtype)})" not in formal.types:
            return False
        if formal.is_homogeneous and kinds.setdefault(formal.type_str, value.dtype) != value.dtype:
            return False
    return True


def _schema_name(dtype: ir.DataType) -> str:
    """Return a type as ONNX's schemas spell it: `float`, `double`, `int64`."""
    return dtype.name.lower()

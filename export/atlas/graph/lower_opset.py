"""Lower a float graph to the least opset that says the same: ATC takes 11 to 18, old ones 11 only."""

__all__ = ["HIGHEST", "LOWEST", "least_opset", "lowered"]

import onnx
import onnx_ir as ir

from quant.common.errors import UnsupportedError
from quant.export.atlas.graph.edit import Edit
from quant.export.atlas.graph.lower_opset_rules import CONVERTED, convert, convertible

LOWEST, HIGHEST = 11, 18
"""Opsets that ATC reads: 11 since the first AMCT for ONNX, up to 18 in the documents of CANN 8."""

MEANING = {
    "GridSample": (20,),  # the modes have other names
    "GroupNormalization": (21,),  # scale per channel instead of per group
}
"""Opsets since which an operator of one signature means something else; see also CONVERTED."""


def least_opset(model: ir.Model, place: str) -> tuple[int, str]:
    """Return the least opset of 11 to 18 that can say the graph, and what keeps it above 11.

    Raises:
        UnsupportedError: None can, or an operator is not of ONNX's own domain.
    """
    origin = model.opset_imports.get("", LOWEST)
    for node in model.graph:
        if node.domain not in ("", "ai.onnx"):
            raise UnsupportedError(
                f"{place}, node '{node.name}': ATC takes operators of ONNX's own domain, saw "
                f"'{node.domain}.{node.op_type}'. Export the model with standard operators."
            )
    why = ""
    for version in range(LOWEST, min(origin, HIGHEST) + 1):
        held = next((n for n in model.graph if not _says(n, origin, version)), None)
        if held is None:
            return version, why
        why = f"{held.op_type} of node '{held.name}'"
    raise UnsupportedError(
        f"{place}: ATC takes ONNX opset {LOWEST} to {HIGHEST}, saw opset {origin} and {why}, "
        "which no lower opset has. Export the model again with opset 17."
    )


def lowered(model: ir.Model, place: str) -> ir.Model:
    """Return a copy in its least opset; node names and outputs stay.

    Raises:
        UnsupportedError: As `least_opset`.
    """
    version, _ = least_opset(model, place)
    origin = model.opset_imports.get("", LOWEST)
    edit = Edit(model.clone())
    for node in list(edit.model.graph):
        convert(edit, node, origin, version)
    edit.finish()
    copy = edit.model
    copy.opset_imports.clear()
    copy.opset_imports[""] = version
    copy.ir_version = onnx.helper.OP_SET_ID_VERSION_MAP[("ai.onnx", version)]
    return copy


def _says(node: ir.Node, origin: int, version: int) -> bool:
    """Return whether a node of opset `origin` can be said in opset `version`."""
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
    """Return whether the older schema takes a node as it stands, but for attributes at default."""
    new, old = _schema(node.op_type, origin), _schema(node.op_type, version)
    if new is None or old is None:
        return False
    if new.since_version == old.since_version:
        return True
    changes = MEANING.get(node.op_type, ())
    if any(old.since_version < change <= new.since_version for change in changes):
        return False
    return _attributes_fit(node, new, old) and _inputs_fit(node, old)


def _attributes_fit(node: ir.Node, new: onnx.defs.OpSchema, old: onnx.defs.OpSchema) -> bool:
    for name, attribute in node.attributes.items():
        if name not in old.attributes:
            default = new.attributes[name].default_value
            if ir.serde.deserialize_attribute(default).value != attribute.value:
                return False
    for name, known in old.attributes.items():
        if name in node.attributes:
            continue
        later = new.attributes.get(name)
        if known.required or later is None or known.default_value != later.default_value:
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
        if f"tensor({_spelt(value.dtype)})" not in formal.types:
            return False
        if formal.is_homogeneous and kinds.setdefault(formal.type_str, value.dtype) != value.dtype:
            return False
    return True


def _spelt(dtype: ir.DataType) -> str:
    """Return a type as ONNX's schemas spell it: `float`, `double`, `int64`."""
    return dtype.name.lower()

"""Check counts, types and bytes of a deploy model, so that the other rules can read it."""

__all__ = ["integrity_findings", "shapes_of"]

from collections.abc import Mapping, Sequence
from math import prod

import onnx

from quant.common.silence import silence
from quant.export.atlas.check.view import Findings, View, finding
from quant.export.atlas.graph.deploy_model import ASCEND_OPS

AGAIN = "Export the model again."


MIN_INPUTS = {"AscendQuant": 1, "AscendDequant": 1, "AscendAntiQuant": 1, "AscendWeightQuant": 2}


MIN_AXES = {"Conv": 3, "ConvTranspose": 3, "Gemm": 1, "MatMul": 1}


RULE_OF_TYPE: dict[int, int] = {onnx.TensorProto.UINT64: 10, onnx.TensorProto.INT32: 15}
"""Initializer type to its rule; other types belong to rule 14, about weights."""


def integrity_findings(view: View) -> Findings:
    """Yield errors of rules 2, 10, 14, 15, 18 and 25 after which no other rule can be checked."""
    for node in view.nodes:
        yield from _counts(view, node)
        yield from _types(view, node)
    for tensor in view.constants.values():
        yield from _bytes(tensor)
    for node in view.integer:
        weight, least = view.constant(node, 1), MIN_AXES.get(node.op_type, 0)
        if weight is not None and len(weight.dims) < least:
            saw = f"a weight of shape {list(weight.dims)}"
            yield finding(14, "error", node, saw=saw, wanted=f"{least} axes or more", mend=AGAIN)


def _schema(view: View, op: str) -> onnx.defs.OpSchema | None:
    versions = [o.version for o in view.model.opset_import if o.domain in ("", "ai.onnx")]
    try:
        version = min(max(versions, default=11), onnx.defs.onnx_opset_version())
        return onnx.defs.get_schema(op, version)
    except onnx.defs.SchemaError:
        return None  # rule 2 reports it


def _counts(view: View, node: onnx.NodeProto) -> Findings:
    schema = _schema(view, node.op_type)
    least = MIN_INPUTS.get(node.op_type, schema.min_input if schema is not None else 0)
    if len(node.input) < least:
        saw = f"{len(node.input)} inputs of {node.op_type}"
        yield finding(25, "error", node, saw=saw, wanted=f"{least} or more", mend=AGAIN)
    if not node.output:
        yield finding(
            25, "error", node, saw=f"no output of {node.op_type}", wanted="one", mend=AGAIN
        )


def _types(view: View, node: onnx.NodeProto) -> Findings:
    kinds = {a.name: a.type for a in node.attribute}
    if node.op_type == "AscendAntiQuant":
        for name in ("scale", "offset"):
            if kinds.get(name) != onnx.AttributeProto.FLOAT:
                yield finding(
                    18,
                    "error",
                    node,
                    saw=f"no {name}, or one of another type",
                    wanted="FLOAT",
                    mend=AGAIN,
                )
    schema = _schema(view, node.op_type)
    if node.op_type in ASCEND_OPS or schema is None:
        return
    for name, formal in schema.attributes.items():
        wanted = int(formal.type.value)  # type: ignore[attr-defined]
        if name in kinds and kinds[name] != wanted:
            wanted_name = onnx.AttributeProto.AttributeType.Name(wanted)
            saw = f"attribute {name} of type "
            saw += onnx.AttributeProto.AttributeType.Name(kinds[name])
            yield finding(2, "error", node, saw=saw, wanted=wanted_name, mend=AGAIN)


def _bytes(tensor: onnx.TensorProto) -> Findings:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    try:
        onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        saw = f"an initializer that cannot be read: {error}"
        rule = RULE_OF_TYPE.get(tensor.data_type, 14)
        place = f"tensor '{tensor.name}'"
        yield finding(
            rule, "error", place, saw=saw, wanted="as many numbers as its shape says", mend=AGAIN
        )


FLOAT = onnx.TensorProto.FLOAT


MAX_SHAPE_ELEMENTS = 64
"""Elements up to which an initializer may be a shape that inference reads."""


def shapes_of(model: onnx.ModelProto) -> Mapping[str, Sequence[int | None]]:
    """Return the shapes that onnx infers when the quantizers are Identity and integers float.

    An unknown length is None; a tensor that inference does not reach is missing.
    """
    shadow = onnx.ModelProto(ir_version=model.ir_version)
    shadow.opset_import.extend(model.opset_import)
    shadow.graph.name = "shapes"
    shadow.graph.input.extend(model.graph.input)
    for tensor in model.graph.initializer:
        integer = tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.INT32)
        if integer or prod(tensor.dims) > MAX_SHAPE_ELEMENTS:
            kind = FLOAT if integer else tensor.data_type
            info = onnx.helper.make_tensor_value_info(tensor.name, kind, tensor.dims)
            shadow.graph.input.append(info)
        else:
            shadow.graph.initializer.append(tensor)
    for node in model.graph.node:
        if node.op_type.startswith("Ascend"):
            shadow.graph.node.add(op_type="Identity", input=node.input[:1], output=node.output)
        else:
            shadow.graph.node.append(node)
    try:
        with silence():
            inferred = onnx.shape_inference.infer_shapes(shadow, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        inferred = shadow  # a broken graph has other findings
    values = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    return {
        v.name: [
            d.dim_value if d.HasField("dim_value") else None for d in v.type.tensor_type.shape.dim
        ]
        for v in values
        if v.type.tensor_type.HasField("shape")
    }

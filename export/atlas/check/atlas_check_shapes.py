"""Shapes of a deploy model's tensors, whose quantizers onnx's inference does not know."""

__all__ = ["shapes_of"]

from collections.abc import Mapping, Sequence
from math import prod

import onnx

from quant.common.silence import silence

FLOAT = onnx.TensorProto.FLOAT
SMALL = 64
"""Elements up to which an initializer may be a shape that inference wants to read."""


def shapes_of(model: onnx.ModelProto) -> Mapping[str, Sequence[int | None]]:
    """Return the shapes that onnx infers when the quantizers are Identity and integers float.

    A length that is not known is None, a tensor that inference does not reach is missing.
    """
    shadow = onnx.ModelProto(ir_version=model.ir_version)
    shadow.opset_import.extend(model.opset_import)
    shadow.graph.name = "shapes"
    shadow.graph.input.extend(model.graph.input)
    for tensor in model.graph.initializer:
        integer = tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.INT32)
        if integer or prod(tensor.dims) > SMALL:
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

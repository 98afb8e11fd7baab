"""MatMul and Add of a constant as one Gemm: the form that runtimes have an integer kernel for."""

__all__ = ["fold_alpha", "join_gemm"]

import numpy as np
import onnx_ir as ir

from quant.graph.edit import add_constant


def fold_alpha(model: ir.Model) -> int:
    """Fold alpha and beta of each Gemm into its constant weight and bias; return how many.

    Integer kernels know neither. The old constants stay for their other readers.
    """
    folded = 0
    for node in model.graph:
        if node.op_type != "Gemm" or node.domain not in ("", "ai.onnx"):
            continue
        for index, name in ((1, "alpha"), (2, "beta")):
            factor = node.attributes.get_float(name, 1.0)
            value = node.inputs[index] if len(node.inputs) > index else None
            if factor == 1.0 or value is None or value.const_value is None:
                continue
            array = (value.const_value.numpy().astype(np.float64) * factor).astype(np.float32)
            fresh = f"{value.name}.{name}_of_{node.name}"
            node.replace_input_with(index, add_constant(model.graph, fresh, array))
            del node.attributes[name]
            folded += 1
    return folded


def join_gemm(model: ir.Model) -> int:
    """Join MatMul([N, C], constant [C, K]) and Add(constant of K elements) into Gemm.

    ONNX Runtime makes the same fusion, but before it looks for integer kernels, and then finds a
    float bias in its way. Needs shapes to be inferred. Returns how many were joined.
    """
    joined = 0
    for node in list(model.graph):
        add = _only_add(node)
        if add is None:
            continue
        weight, bias = node.inputs[1], _other(add, node.outputs[0])
        if weight is None or bias is None or bias.const_value is None:
            continue
        width = weight.shape[1] if weight.shape is not None and len(weight.shape) == 2 else None
        if width is None or bias.const_value.size != width or len(bias.const_value.shape) > 2:
            continue
        gemm = ir.node("Gemm", [node.inputs[0], weight, _flat(model, bias)], name=node.name)
        output = gemm.outputs[0]
        output.type, output.shape = add.outputs[0].type, add.outputs[0].shape
        model.graph.insert_before(add, gemm)
        name = add.outputs[0].name
        add.outputs[0].replace_all_uses_with(output, replace_graph_outputs=True)
        model.graph.remove([add, node], safe=True)
        output.name = name
        joined += 1
    return joined


def _only_add(node: ir.Node) -> ir.Node | None:
    """Return the Add that is the only reader of a MatMul of two axes by a constant."""
    if node.op_type != "MatMul" or node.domain not in ("", "ai.onnx"):
        return None
    data, weight = node.inputs
    if data is None or data.shape is None or len(data.shape) != 2:
        return None
    if weight is None or weight.const_value is None or node.outputs[0].is_graph_output():
        return None
    uses = list(node.outputs[0].uses())
    reader = uses[0].node if len(uses) == 1 else None
    return reader if reader is not None and reader.op_type == "Add" else None


def _other(add: ir.Node, value: ir.Value) -> ir.Value | None:
    """Return the operand of an Add that is not `value`."""
    return next((v for v in add.inputs if v is not value), None)


def _flat(model: ir.Model, bias: ir.Value) -> ir.Value:
    """Return the bias as [K]: a constant of [1, K] gets a flat copy."""
    tensor = bias.const_value
    if tensor is None or len(tensor.shape) == 1:
        return bias
    name = f"{bias.name}.flat"
    flat = model.graph.initializers.get(name)
    return flat if flat is not None else add_constant(model.graph, name, tensor.numpy().reshape(-1))

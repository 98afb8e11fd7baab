"""The deploy model: integers between AscendQuant and AscendDequant, as ATC reads it.

Node layout, names and attributes are those of AMCT (`amct_pytorch`, deploy model at opset 11):

    AscendQuant 'conv1.quant' -> Conv 'conv1' (int8 weight, int32 bias) -> AscendDequant
"""

__all__ = ["ASCEND_OPS", "deploy_model"]

import numpy as np
import onnx
import onnx_ir as ir

from quant.common.version import VERSION
from quant.export.atlas.graph.bias_shifts import with_bias_shifts
from quant.export.atlas.graph.integer_layer import IntegerLayer, pack_scales
from quant.export.atlas.graph.integer_layers import integer_layers
from quant.export.atlas.graph.lower_opset import in_lowest_opset
from quant.graph.edit import GraphEditor
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan

ASCEND_OPS = ("AscendQuant", "AscendDequant", "AscendAntiQuant", "AscendWeightQuant")
"""The operators that ATC's ONNX parser adds to ONNX's own domain."""


def deploy_model(graph: Graph, plan: Plan) -> onnx.ModelProto:
    """Return the integer graph for ATC; no ONNX runtime can run it.

    Weights are int8, biases int32 with the plan's shifts, scales uint64 in `uint64_data`. Float
    layers stay as they are, in the lowest opset of 11 to 18 that has a form of them.

    Raises:
        UnsupportedError: Atlas cannot run a layer in int8, or an operator is in no opset up to 18.
    """
    edit = GraphEditor(in_lowest_opset(with_bias_shifts(graph, plan), graph.source or graph.name))
    layers = integer_layers(edit.model, plan)
    quantizers: dict[tuple[str, np.float32, int], ir.Value] = {}
    weights: dict[tuple[object, ...], ir.Value] = {}
    for layer in layers:
        key = (layer.data, layer.scale_d, layer.offset)
        if key not in quantizers:
            quantizers[key] = _insert_quantizer(edit, layer)
        _write_integers(edit, layer, quantizers[key], weights)
        _insert_dequantizer(edit, layer)
    edit.finish()
    return _proto(edit.model)


def _insert_quantizer(edit: GraphEditor, layer: IntegerLayer) -> ir.Value:
    """Put an AscendQuant before a layer; `scale` is 1 / step, and both attributes are floats."""
    attributes = {
        "scale": layer.reciprocal,
        "offset": float(layer.offset),
        "dst_type": "INT8",
    }
    name = f"{layer.name}.quant"
    node = edit.node("AscendQuant", [layer.node.inputs[0]], attributes, (name, f"{name}.output0"))
    edit.before(layer.node, [node])
    return node.outputs[0]


def _write_integers(
    edit: GraphEditor,
    layer: IntegerLayer,
    data: ir.Value,
    weights: dict[tuple[object, ...], ir.Value],
) -> None:
    """Give a layer its int8 input and weight and its int32 bias."""
    node = layer.node
    node.replace_input_with(0, data)
    if layer.weight is not None:
        # layers that share a weight, a grid and a layout share its integers
        key = (id(node.inputs[1]), layer.scale_w.tobytes(), layer.weight.shape, node.op_type)
        shared = weights.get((*key, node.attributes.get_int("transB", 0)))
        value = edit.replace(node, 1, layer.weight if shared is None else shared)
        weights[(*key, node.attributes.get_int("transB", 0))] = value
    if node.op_type == "Gemm":
        node.attributes.add(ir.AttrInt64("transB", 0))
    if layer.bias is not None:
        reader, index = (node, 2) if layer.add is None else (layer.add, _bias_index(layer))
        edit.replace(reader, index, layer.bias)


def _bias_index(layer: IntegerLayer) -> int:
    """Return the index of the input of a MatMul's Add that is the bias."""
    return 1 if layer.last_node.inputs[0] is layer.node.outputs[0] else 0


def _insert_dequantizer(edit: GraphEditor, layer: IntegerLayer) -> None:
    """Put an AscendDequant behind a layer; a graph output keeps its name, on the new node."""
    end = layer.last_node
    old, name = end.outputs[0], f"{layer.name}.dequant"
    scales = edit.constant(f"{name}.param", pack_scales(layer.scales))
    node = edit.node("AscendDequant", [old, scales], {"dtype": 0}, (name, f"{name}.output0"))
    new = node.outputs[0]
    if old.is_graph_output():
        output_name = str(old.name)
        edit.take_over(old, new, {id(node)})
        edit.rename(old, f"{layer.name}_output0")
        new.name = output_name
    else:
        edit.take_over(old, new, {id(node)})
    edit.after(end, [node])


def _proto(model: ir.Model) -> onnx.ModelProto:
    """Return the model as AMCT stores it: scales as numbers, not bytes, and no value_info."""
    model.producer_name, model.producer_version = "quant", VERSION
    proto: onnx.ModelProto = ir.to_proto(model)
    del proto.graph.value_info[:]
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.UINT64:
            numbers = onnx.numpy_helper.to_array(tensor)
            tensor.ClearField("raw_data")
            tensor.uint64_data.extend(int(n) for n in numbers.reshape(-1))
    return proto

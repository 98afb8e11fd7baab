"""Simulate the deploy model, integer for integer, as ONNX that any runtime runs.

Ascend's quantizers are ONNX functions with bodies. Between them float32 operators compute on
integers, exactly: `exact_sums` cuts the layers whose sums float32 could not hold.
"""

__all__ = ["DOMAIN", "ascend_functions", "simulated"]

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.atlas.graph.bias_shifts import with_bias_shifts
from quant.export.atlas.graph.exact_sums import MAX_EXACT, Piece, pieces
from quant.export.atlas.graph.integer_layer import IntegerLayer
from quant.export.atlas.graph.integer_layers import integer_layers
from quant.graph.edit import GraphEditor
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan

DOMAIN = "quant.ascend"
"""Our own domain: functions with bodies cannot be in ONNX's domain, where ATC looks for them."""


BODIES = (
    """
    AscendQuant <scale, offset> (x) => (y) {
        reciprocal = Constant<value_float: float = @scale>()
        real = Constant<value_float: float = @offset>()
        least = Constant<value_float = -128.0>()
        most = Constant<value_float = 127.0>()
        steps = Mul(x, reciprocal)
        near = Round(steps)
        moved = Add(near, real)
        held = Clip(moved, least, most)
        y = Cast<to = 3>(held)
    }""",
    """
    AscendAntiQuant <scale, offset> (x) => (y) {
        step = Constant<value_float: float = @scale>()
        real = Constant<value_float: float = @offset>()
        whole = Cast<to = 1>(x)
        centred = Sub(whole, real)
        y = Mul(centred, step)
    }""",
    """
    AscendDequant (x, deq_scale) => (y) {
        real = Cast<to = 1>(x)
        y = Mul(real, deq_scale)
    }""",
)
"""The equations of CANN, word for word. QuantizeLinear and DequantizeLinear would be shorter and a
tenth faster, but ONNX Runtime's QDQPropagation puts a uint8 quantizer behind each Transpose of a
DequantizeLinear of int32 (1.32.0), and the numbers are lost. `deq_scale` is float32 here, in a
shape that can be multiplied by: no operator of opset 17 reads a float's bits."""


def ascend_functions(opset: int) -> list[ir.Function]:
    """Return AscendQuant, AscendAntiQuant and AscendDequant with bodies of one opset."""
    header = f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>'
    protos = [onnx.parser.parse_function(header + body) for body in BODIES]
    return [ir.serde.deserialize_function(proto) for proto in protos]


INT32 = int(ir.DataType.INT32)


def simulated(graph: Graph, plan: Plan) -> ir.Model:
    """Return the graph as Atlas computes it, for stock ONNX Runtime, its opset and axes kept.

    Tensors keep their names and are float32: an INT8 layer's output is what AscendDequant gives.

    Raises:
        UnsupportedError: Atlas cannot run a layer that the plan computes in int8.
    """
    edit = GraphEditor(with_bias_shifts(graph, plan))
    quantizers: dict[tuple[str, np.float32, int], ir.Value] = {}
    for layer in integer_layers(edit.model, plan):
        key = (layer.data, layer.scale_d, layer.offset)
        if key not in quantizers:
            quantizers[key] = _quantizer(edit, layer)
        if layer.weight is None:
            _rewrite_pool(edit, layer, quantizers[key])
        else:
            _rewrite_weighted(edit, layer, quantizers[key])
    edit.finish()
    opset = edit.model.opset_imports[""]
    edit.model.opset_imports[DOMAIN] = 1
    for function in ascend_functions(opset):
        edit.model.functions[function.identifier()] = function
    return edit.model


def _quantizer(edit: GraphEditor, layer: IntegerLayer) -> ir.Value:
    """Return `q - offset` in float32: AscendQuant, and an AscendAntiQuant of step 1."""
    name, data = layer.name, layer.node.inputs[0]
    offset = float(layer.offset)
    quantize = edit.node(
        "AscendQuant",
        [data],
        {"scale": layer.reciprocal, "offset": offset},
        (f"{name}.quant", f"{name}.quant.output0"),
        DOMAIN,
    )
    centre = edit.node(
        "AscendAntiQuant",
        [quantize.outputs[0]],
        {"scale": 1.0, "offset": offset},
        (f"{name}.centre", f"{name}.centre.output0"),
        DOMAIN,
    )
    edit.before(layer.node, [quantize, centre])
    return centre.outputs[0]


def _rewrite_pool(edit: GraphEditor, layer: IntegerLayer, data: ir.Value) -> None:
    """Give an AveragePool integers, and AscendDequant its means, which are float32."""
    layer.node.replace_input_with(0, data)
    edit.behind(
        layer.node, _dequantizer(edit, layer, layer.node.outputs[0], f"{layer.name}.dequant")
    )


def _rewrite_weighted(edit: GraphEditor, layer: IntegerLayer, data: ir.Value) -> None:
    """Replace a weighted layer by its pieces, their sum in int32 and an AscendDequant."""
    nodes: list[ir.Node] = []
    total: ir.Value | None = None
    for number, piece in enumerate(pieces(layer)):
        nodes += _piece_nodes(edit, layer, data, piece, f"{layer.name}.piece{number}")
        if total is not None:
            names = _node_names(f"{layer.name}.until{number}")
            nodes.append(edit.node("Add", [total, nodes[-1].outputs[0]], {}, names))
        total = nodes[-1].outputs[0]
    if total is not None:
        _replace_layer(edit, layer, total, nodes)


def _adds_bias_in_int32(layer: IntegerLayer) -> bool:
    """Return whether the bias is added to the int32 sum; else it fits into the float32 operator."""
    return layer.sum_bound > MAX_EXACT or layer.add is not None


def _piece_nodes(
    edit: GraphEditor, layer: IntegerLayer, data: ir.Value, piece: Piece, name: str
) -> list[ir.Node]:
    """Return the nodes of a piece: its input channels, the operator in float32, a Cast to int32."""
    nodes = []
    if piece.channels is not None:
        nodes.append(_slice(edit, layer, data, piece.channels, f"{name}.input"))
        data = nodes[0].outputs[0]
    inputs: list[ir.Value | None] = [data, edit.constant(f"{name}.weight", piece.weight)]
    if layer.bias is not None and not _adds_bias_in_int32(layer):
        inputs.append(edit.constant(f"{name}.bias", layer.bias.astype(np.float32)))
    attributes = {
        key: attribute
        for key, attribute in layer.node.attributes.items()
        if key not in ("transB", "alpha", "beta")
    }
    sums = edit.node(layer.node.op_type, inputs, attributes, _node_names(name))
    cast = edit.node("Cast", [sums.outputs[0]], {"to": INT32}, _node_names(f"{name}.int32"))
    return [*nodes, sums, cast]


def _slice(
    edit: GraphEditor, layer: IntegerLayer, data: ir.Value, channels: tuple[int, int], name: str
) -> ir.Node:
    """Return a Slice of the input channels from the first number to before the second."""
    axis = 1 if layer.node.op_type in ("Conv", "ConvTranspose") else -1
    bounds = {"starts": channels[0], "ends": channels[1], "axes": axis}
    constants = [
        edit.constant(f"{name}.{key}", np.array([number], np.int64))
        for key, number in bounds.items()
    ]
    return edit.node("Slice", [data, *constants], {}, _node_names(name))


def _replace_layer(
    edit: GraphEditor, layer: IntegerLayer, total: ir.Value, nodes: list[ir.Node]
) -> None:
    """Put these nodes, the bias and an AscendDequant in a layer's place, under its tensor names."""
    node, last = layer.node, layer.last_node
    nodes = list(nodes)
    if layer.add is not None:  # the MatMul's own output is kept as well
        nodes.append(_dequantizer(edit, layer, total, f"{layer.name}.product"))
        _take_over_name(node.outputs[0], nodes[-1].outputs[0])
    if layer.bias is not None and _adds_bias_in_int32(layer):
        bias = edit.constant(f"{layer.name}.bias_int32", _broadcastable(layer, layer.bias))
        nodes.append(edit.node("Add", [total, bias], {}, _node_names(f"{layer.name}.sum")))
        total = nodes[-1].outputs[0]
    dequantizer = _dequantizer(edit, layer, total, f"{layer.name}.dequant")
    output = last.outputs[0]
    edit.before(last, [*nodes, dequantizer])
    edit.take_over(output, dequantizer.outputs[0], set())
    _take_over_name(output, dequantizer.outputs[0])
    edit.model.graph.remove([last] if last is node else [last, node], safe=True)


def _dequantizer(edit: GraphEditor, layer: IntegerLayer, total: ir.Value, name: str) -> ir.Node:
    """Return an AscendDequant whose `deq_scale` broadcasts against the sums."""
    scales = edit.constant(f"{name}.param", _broadcastable(layer, layer.scales))
    return edit.node("AscendDequant", [total, scales], {}, _node_names(name), DOMAIN)


def _broadcastable(layer: IntegerLayer, numbers: NDArray[Any]) -> NDArray[Any]:
    """Reshape `[channels]` to axis 1 of a convolution's output; one number becomes a scalar."""
    if numbers.size == 1:
        return numbers.reshape(())
    rank = len(layer.weight.shape) if layer.weight is not None else 2
    return numbers.reshape(-1, *[1] * (rank - 2))


def _take_over_name(old: ir.Value, new: ir.Value) -> None:
    """Swap the names of two values, and give the new one the old one's shape and type."""
    new.shape, new.type = old.shape, old.type
    new.name, old.name = old.name, new.name


def _node_names(name: str) -> tuple[str, str]:
    return name, f"{name}.output0"

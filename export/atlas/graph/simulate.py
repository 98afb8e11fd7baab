"""Simulate: what the deploy model computes, as ONNX that any runtime runs, integer for integer.

Ascend's quantizers are ONNX functions with bodies. Between them float32 operators work on integers,
exactly: `atlas_pieces` cuts the layers whose sums float32 could not hold.
"""

__all__ = ["DOMAIN", "ascend_functions", "simulated"]

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.atlas.graph.edit import Edit, corrected
from quant.export.atlas.graph.exact_sums import EXACT, Piece, pieces
from quant.export.atlas.graph.integer_layer import IntegerLayer
from quant.export.atlas.graph.integer_layers import integer_layers
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan

DOMAIN = "quant.ascend"
"""Ours: with bodies the functions cannot stand in ONNX's own domain, where ATC looks for them."""


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
DequantizeLinear of int32 (1.32.0), and the numbers are lost. `deq_scale` is float32 here, shaped to be
multiplied by: no operator of opset 17 reads a float's bits."""


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
        UnsupportedError: A layer that the plan computes in int8 cannot be on Atlas.
    """
    edit = Edit(corrected(graph, plan))
    quantizers: dict[tuple[str, np.float32, int], ir.Value] = {}
    for layer in integer_layers(edit.model, plan):
        key = (layer.data, layer.scale_d, layer.offset)
        if key not in quantizers:
            quantizers[key] = _quantizer(edit, layer)
        if layer.weight is None:
            _mean(edit, layer, quantizers[key])
        else:
            _sums(edit, layer, quantizers[key])
    edit.finish()
    opset = edit.model.opset_imports[""]
    edit.model.opset_imports[DOMAIN] = 1
    for function in ascend_functions(opset):
        edit.model.functions[function.identifier()] = function
    return edit.model


def _quantizer(edit: Edit, layer: IntegerLayer) -> ir.Value:
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


def _mean(edit: Edit, layer: IntegerLayer, data: ir.Value) -> None:
    """An AveragePool gives means of integers in float32, and AscendDequant takes them as well."""
    layer.node.replace_input_with(0, data)
    edit.behind(layer.node, _real(edit, layer, layer.node.outputs[0], f"{layer.name}.dequant"))


def _sums(edit: Edit, layer: IntegerLayer, data: ir.Value) -> None:
    """Replace a weighted layer by its pieces, their sum in int32 and an AscendDequant."""
    parts = pieces(layer)
    alone = layer.bound > EXACT or layer.add is not None  # the bias is added in int32
    total: ir.Value | None = None
    made: list[ir.Node] = []
    for number, piece in enumerate(parts):
        whole = f"{layer.name}.piece{number}"
        seen = _slice(edit, layer, data, piece, f"{whole}.input", made)
        raw = _float(edit, layer, seen, piece, None if alone else layer.bias, whole)
        cast = edit.node("Cast", [raw.outputs[0]], {"to": INT32}, _pair(f"{whole}.int32"))
        made += [raw, cast]
        if total is None:
            total = cast.outputs[0]
            continue
        added = edit.node("Add", [total, cast.outputs[0]], {}, _pair(f"{layer.name}.until{number}"))
        made.append(added)
        total = added.outputs[0]
    if total is not None:
        _dequantize(edit, layer, total, made, bias=alone)


def _slice(
    edit: Edit,
    layer: IntegerLayer,
    data: ir.Value,
    piece: Piece,
    name: str,
    made: list[ir.Node],
) -> ir.Value:
    """Return the input channels of a piece."""
    if piece.channels is None:
        return data
    axis = 1 if layer.node.op_type in ("Conv", "ConvTranspose") else -1
    ends = [
        edit.constant(f"{name}.{what}", np.array([number], np.int64))
        for what, number in (
            ("starts", piece.channels[0]),
            ("ends", piece.channels[1]),
            ("axes", axis),
        )
    ]
    node = edit.node("Slice", [data, *ends], {}, _pair(name))
    made.append(node)
    return node.outputs[0]


def _float(
    edit: Edit,
    layer: IntegerLayer,
    data: ir.Value,
    piece: Piece,
    bias: NDArray[np.int32] | None,
    name: str,
) -> ir.Node:
    """Return the layer's operator on a piece, in float32."""
    inputs: list[ir.Value | None] = [data, edit.constant(f"{name}.weight", piece.weight)]
    if bias is not None:
        inputs.append(edit.constant(f"{name}.bias", bias.astype(np.float32)))
    kept = {k: a for k, a in layer.node.attributes.items() if k not in ("transB", "alpha", "beta")}
    return edit.node(layer.node.op_type, inputs, kept, _pair(name))


def _dequantize(
    edit: Edit, layer: IntegerLayer, total: ir.Value, made: list[ir.Node], *, bias: bool
) -> None:
    """Put the pieces in, their bias, and AscendDequant; the layer's tensors keep their names."""
    node, end = layer.node, layer.end
    if layer.add is not None:  # for whoever looks at the MatMul alone
        made.append(_real(edit, layer, total, f"{layer.name}.product"))
        _hand_on(node.outputs[0], made[-1].outputs[0])
    if bias and layer.bias is not None:
        held = edit.constant(f"{layer.name}.bias_int32", _spread(layer, layer.bias))
        made.append(edit.node("Add", [total, held], {}, _pair(f"{layer.name}.sum")))
        total = made[-1].outputs[0]
    real = _real(edit, layer, total, f"{layer.name}.dequant")
    old = end.outputs[0]
    edit.before(end, [*made, real])
    edit.take_over(old, real.outputs[0], set())
    _hand_on(old, real.outputs[0])
    edit.model.graph.remove([end] if end is node else [end, node], safe=True)


def _real(edit: Edit, layer: IntegerLayer, total: ir.Value, name: str) -> ir.Node:
    """Return an AscendDequant, its `deq_scale` shaped to be multiplied by."""
    held = edit.constant(f"{name}.param", _spread(layer, layer.scales))
    return edit.node("AscendDequant", [total, held], {}, _pair(name), DOMAIN)


def _spread(layer: IntegerLayer, numbers: NDArray[Any]) -> NDArray[Any]:
    """Shape `[channels]` so that it meets axis 1 of a convolution's output; one number stays one."""
    if numbers.size == 1:
        return numbers.reshape(())
    rank = len(layer.weight.shape) if layer.weight is not None else 2
    return numbers.reshape(-1, *[1] * (rank - 2))


def _hand_on(old: ir.Value, new: ir.Value) -> None:
    """Swap the names of two values, and give the new one the old one's shape and type."""
    new.shape, new.type = old.shape, old.type
    new.name, old.name = old.name, new.name


def _pair(name: str) -> tuple[str, str]:
    return name, f"{name}.output0"

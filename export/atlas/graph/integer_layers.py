"""From a plan to the integers of each INT8 layer: one computation for every file that holds them."""

__all__ = ["bias_add", "integer_layer", "integer_layers"]

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.export.atlas.graph.integer_layer import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    IntegerLayer,
    by_channel,
)
from quant.export.atlas.graph.limits import INTEGER_OPS, refusal
from quant.formats.number_format import Integer, Params
from quant.formats.precision import Precision
from quant.graph.prepared_graph import weight_of
from quant.plan.tensor_plans import Plan, TensorPlan

F32 = NDArray[np.float32]
I8 = NDArray[np.int8]
I32 = NDArray[np.int32]

FLOAT = "Keep the layer float in the recipe."

ACCUMULATOR = 2**31
"""The sums are int32; a greater one wraps."""


def integer_layers(model: ir.Model, plan: Plan) -> list[IntegerLayer]:
    """Return every layer that the plan computes in int8, in topological order.

    An AveragePool that has no INT8 form is left out: it stays float at next to no cost.

    Args:
        model: The prepared graph or an edit of it; the plan's bias shifts are in its biases.
        plan: Its plan.

    Raises:
        UnsupportedError: Atlas cannot run one of them in INT8; the message names it.
    """
    wanted = {name for name, layer in plan.layers.items() if layer.precision is Precision.INT8}
    nodes = [n for n in model.graph if n.name in wanted and n.op_type in INTEGER_OPS]
    pools = [n for n in nodes if n.op_type == "AveragePool" and refusal(n) is not None]
    return [integer_layer(node, plan) for node in nodes if node not in pools]


def integer_layer(node: ir.Node, plan: Plan) -> IntegerLayer:
    """Return one layer's integers.

    Raises:
        UnsupportedError: Atlas cannot run it in INT8; the message says why.
    """
    place = f"node '{node.name}' ({node.op_type})"
    if why := refusal(node):
        raise _refused(place, f"{why.saw}, wanted {why.wanted}")
    data = node.inputs[0]
    name = str(data.name) if data is not None else ""
    held = _params(plan, name, str(node.name), 0)
    if held is None:
        raise _refused(place, "an INT8 layer whose input has no grid in the plan, wanted one")
    scale_d, offset = np.float32(held.scale), int(held.zero_point)
    if not SMALLEST_SCALE <= scale_d <= LARGEST_SCALE:
        raise _refused(place, f"an input scale of {scale_d:.4g}, wanted 1.19e-07 to 8.39e+06")
    if node.op_type == "AveragePool":
        one = np.ones(1, np.float32)
        layer = _layer(node, name, scale_d, offset, one, None, None, None)
    else:
        layer = _weighted(node, plan, name, scale_d, offset)
    worst = max(layer.bound, layer.folded_bound)
    if worst >= ACCUMULATOR:
        raise _refused(place, f"sums of up to {worst}, wanted less than 2**31")
    return layer


def _weighted(
    node: ir.Node, plan: Plan, name: str, scale_d: np.float32, offset: int
) -> IntegerLayer:
    place = f"node '{node.name}' ({node.op_type})"
    value = weight_of(node)
    grid = _grid(plan, str(value.name) if value is not None else "", str(node.name), 1)
    if value is None or value.const_value is None or grid is None:
        raise _refused(place, "an INT8 layer whose weight has no grid in the plan, wanted one")
    number, params = grid.format, grid.params
    if not isinstance(number, Integer) or number.name != "int8" or not isinstance(params, Params):
        raise _refused(place, "a weight that is no int8, wanted int8")
    array = value.const_value.numpy()
    scale = np.atleast_1d(np.maximum(params.scale, np.float32(SMALLEST_SCALE)))
    raised = Params(scale=scale.reshape(params.scale.shape), zero_point=params.zero_point)
    weight = number.quantize(array, raised).astype(np.int8)
    if node.op_type in ("Gemm", "MatMul") and scale.size > 1:
        why = f"a weight with {scale.size} scales, wanted one scale"
        raise _refused(place, why, "Give it weights = 'per-tensor' in the recipe.")
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1:
        weight = np.ascontiguousarray(weight.T)
    if node.op_type == "ConvTranspose" and scale.size > 1:
        scale = np.tile(scale, node.attributes.get_int("group", 1))
    channels = len(by_channel(node, weight))
    if scale.size not in (1, channels):
        raise _refused(place, f"{scale.size} weight scales, wanted 1 or {channels}")
    if scale.max() > LARGEST_SCALE:
        raise _refused(place, f"a weight scale of {scale.max():.4g}, wanted up to 8.39e+06")
    add, bias = _bias(node)
    stored = None if bias is None else _rounded(place, bias, channels, scale_d * scale)
    return _layer(node, name, scale_d, offset, scale, weight, stored, add)


def _layer(
    node: ir.Node,
    data: str,
    scale_d: np.float32,
    offset: int,
    scale_w: F32,
    weight: I8 | None,
    bias: I32 | None,
    add: ir.Node | None,
) -> IntegerLayer:
    return IntegerLayer(
        node=node,
        data=data,
        scale_d=scale_d,
        offset=offset,
        scale_w=scale_w.astype(np.float32),
        weight=weight,
        bias=bias,
        add=add,
    )


def _bias(node: ir.Node) -> tuple[ir.Node | None, NDArray[Any] | None]:
    """Return the Add that holds a MatMul's bias, and the bias."""
    if node.op_type == "MatMul":
        add = bias_add(node)
        value = next((v for v in add.inputs if v is not node.outputs[0]), None) if add else None
    else:
        add, value = None, node.inputs[2] if len(node.inputs) > 2 else None
    return add, None if value is None or value.const_value is None else value.const_value.numpy()


def bias_add(node: ir.Node) -> ir.Node | None:
    """Return the Add behind a MatMul whose other operand is a constant of N elements, or None."""
    uses = list(node.outputs[0].uses())
    weight = weight_of(node)
    if node.op_type != "MatMul" or weight is None or weight.shape is None or len(uses) != 1:
        return None
    add = uses[0].node
    if add.op_type != "Add" or add.graph is not node.graph or node.outputs[0].is_graph_output():
        return None
    other = add.inputs[1 - uses[0].idx]
    fits = other is not None and other.const_value is not None
    shape = other.const_value.shape.numpy() if fits else ()  # type: ignore[union-attr]
    return add if tuple(shape) == (weight.shape[-1],) else None


def _rounded(place: str, bias: NDArray[Any], channels: int, scales: F32) -> I32:
    """Return round(bias / scale), half to even, in int32 `[channels]`."""
    flat = np.broadcast_to(bias.reshape(-1).astype(np.float64), (channels,))
    whole = np.rint(flat / scales.astype(np.float64))
    if np.abs(whole).max(initial=0) >= ACCUMULATOR:
        raise _refused(place, f"a bias of {np.abs(whole).max():.4g} steps, wanted less than 2**31")
    return whole.astype(np.int32)


def _grid(plan: Plan, tensor: str, node: str, index: int) -> TensorPlan | None:
    """Return the grid that an input of a node sees."""
    found = plan.grid(tensor, node)
    if found is None or found.readers is None:
        return found
    return found if (node, index) in found.readers else None


def _params(plan: Plan, tensor: str, node: str, index: int) -> Params | None:
    """Return the numbers of an activation's int8 grid, or None."""
    found = _grid(plan, tensor, node, index)
    if found is None or not isinstance(found.format, Integer):
        return None
    good = found.format.name == "int8" and found.format.axis is None
    return found.params if good and isinstance(found.params, Params) else None


def _refused(place: str, why: str, mend: str = FLOAT) -> UnsupportedError:
    return UnsupportedError(f"{place}: Atlas must be able to run it in INT8, saw {why}. {mend}")

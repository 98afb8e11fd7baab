"""Compute the integers of each INT8 layer from a plan."""

__all__ = ["bias_add", "integer_layer", "integer_layers"]

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.export.atlas.graph.integer_layer import (
    MAX_SCALE,
    MIN_SCALE,
    IntegerLayer,
    weight_rows,
)
from quant.export.atlas.graph.limits import INTEGER_OPS, refusal
from quant.formats.number_format import Integer, Params
from quant.formats.precision import Precision
from quant.graph.prepared_graph import weight_of
from quant.plan.tensor_plans import Plan, TensorPlan

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

KEEP_FLOAT = "Keep the layer float in the recipe."

SUM_LIMIT = 2**31
"""The sums are int32; a sum of this size or more wraps."""


def integer_layers(model: ir.Model, plan: Plan) -> list[IntegerLayer]:
    """Return every layer that the plan computes in int8, in topological order.

    An AveragePool that has no INT8 form is left out: it stays float at next to no cost.

    Args:
        model: The prepared graph or an edit of it; the plan's bias shifts are in its biases.
        plan: Its plan.

    Raises:
        UnsupportedError: Atlas cannot run a layer in INT8; the message names the layer.
    """
    names = {name for name, layer in plan.layers.items() if layer.precision is Precision.INT8}
    nodes = [n for n in model.graph if n.name in names and n.op_type in INTEGER_OPS]
    pools = [n for n in nodes if n.op_type == "AveragePool" and refusal(n) is not None]
    return [integer_layer(node, plan) for node in nodes if node not in pools]


def integer_layer(node: ir.Node, plan: Plan) -> IntegerLayer:
    """Return the integers of one layer.

    Raises:
        UnsupportedError: Atlas cannot run the layer in INT8; the message gives the reason.
    """
    place = f"node '{node.name}' ({node.op_type})"
    if refused := refusal(node):
        raise _refused(place, f"{refused.saw}, wanted {refused.wanted}")
    source = _input_grid(node, plan, place)
    if node.op_type == "AveragePool":
        layer = IntegerLayer(
            node=node,
            data=source.tensor,
            scale_d=source.scale,
            offset=source.offset,
            scale_w=np.ones(1, np.float32),
            weight=None,
            bias=None,
            add=None,
        )
    else:
        layer = _weighted(node, plan, source)
    worst = max(layer.sum_bound, layer.folded_sum_bound)
    if worst >= SUM_LIMIT:
        raise _refused(place, f"sums of up to {worst}, wanted less than 2**31")
    return layer


@dataclass(frozen=True, slots=True)
class _InputGrid:
    """The int8 grid of a layer's input: the tensor's name, the step, and the integer of 0.0."""

    tensor: str
    scale: np.float32
    offset: int


def _input_grid(node: ir.Node, plan: Plan, place: str) -> _InputGrid:
    data = node.inputs[0]
    tensor = str(data.name) if data is not None else ""
    params = _activation_params(plan, tensor, str(node.name), 0)
    if params is None:
        raise _refused(place, "an INT8 layer whose input has no grid in the plan, wanted one")
    scale = np.float32(params.scale)
    if not MIN_SCALE <= scale <= MAX_SCALE:
        raise _refused(place, f"an input scale of {scale:.4g}, wanted 1.19e-07 to 8.39e+06")
    return _InputGrid(tensor, scale, int(params.zero_point))


def _weighted(node: ir.Node, plan: Plan, source: _InputGrid) -> IntegerLayer:
    place = f"node '{node.name}' ({node.op_type})"
    value = weight_of(node)
    grid = _grid(plan, str(value.name) if value is not None else "", str(node.name), 1)
    if value is None or value.const_value is None or grid is None:
        raise _refused(place, "an INT8 layer whose weight has no grid in the plan, wanted one")
    integer, params = grid.format, grid.params
    if not isinstance(integer, Integer) or integer.name != "int8" or not isinstance(params, Params):
        raise _refused(place, "a weight that is no int8, wanted int8")
    array = value.const_value.numpy()
    scale = np.atleast_1d(np.maximum(params.scale, np.float32(MIN_SCALE)))
    raised = Params(scale=scale.reshape(params.scale.shape), zero_point=params.zero_point)
    weight = integer.quantize(array, raised).astype(np.int8)
    if node.op_type in ("Gemm", "MatMul") and scale.size > 1:
        why = f"a weight with {scale.size} scales, wanted one scale"
        raise _refused(place, why, "Give it weights = 'per-tensor' in the recipe.")
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1:
        weight = np.ascontiguousarray(weight.T)
    if node.op_type == "ConvTranspose" and scale.size > 1:
        scale = np.tile(scale, node.attributes.get_int("group", 1))
    group = node.attributes.get_int("group", 1)
    channels = len(weight_rows(node.op_type, weight, group))
    if scale.size not in (1, channels):
        raise _refused(place, f"{scale.size} weight scales, wanted 1 or {channels}")
    if scale.max() > MAX_SCALE:
        raise _refused(place, f"a weight scale of {scale.max():.4g}, wanted up to 8.39e+06")
    add, bias = _bias_of(node)
    return IntegerLayer(
        node=node,
        data=source.tensor,
        scale_d=source.scale,
        offset=source.offset,
        scale_w=scale.astype(np.float32),
        weight=weight,
        bias=None if bias is None else _integer_bias(place, bias, channels, source.scale * scale),
        add=add,
    )


def _bias_of(node: ir.Node) -> tuple[ir.Node | None, NDArray[Any] | None]:
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
    operand = add.inputs[1 - uses[0].idx]
    fits = operand is not None and operand.const_value is not None
    shape = operand.const_value.shape.numpy() if fits else ()  # type: ignore[union-attr]
    return add if tuple(shape) == (weight.shape[-1],) else None


def _integer_bias(place: str, bias: NDArray[Any], channels: int, scales: F32) -> I32:
    """Return round(bias / scale), half to even, in int32 `[channels]`."""
    flat = np.broadcast_to(bias.reshape(-1).astype(np.float64), (channels,))
    steps = np.rint(flat / scales.astype(np.float64))
    if np.abs(steps).max(initial=0) >= SUM_LIMIT:
        raise _refused(place, f"a bias of {np.abs(steps).max():.4g} steps, wanted less than 2**31")
    return steps.astype(np.int32)


def _grid(plan: Plan, tensor: str, node: str, index: int) -> TensorPlan | None:
    """Return the grid in which a node reads an input, or None."""
    grid = plan.grid(tensor, node)
    if grid is None or grid.readers is None:
        return grid
    return grid if (node, index) in grid.readers else None


def _activation_params(plan: Plan, tensor: str, node: str, index: int) -> Params | None:
    """Return the numbers of an activation's int8 grid, or None."""
    grid = _grid(plan, tensor, node, index)
    if grid is None or not isinstance(grid.format, Integer):
        return None
    good = grid.format.name == "int8" and grid.format.axis is None
    return grid.params if good and isinstance(grid.params, Params) else None


def _refused(place: str, why: str, mend: str = KEEP_FLOAT) -> UnsupportedError:
    return UnsupportedError(f"{place}: Atlas must be able to run it in INT8, saw {why}. {mend}")

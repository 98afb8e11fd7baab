"""Float weights before a QuantizeLinear, held to the grid that the plan gave them."""

__all__ = ["hold_weights"]

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.formats.number_format import Params
from quant.plan.tensor_plans import Plan


def hold_weights(model: ir.Model, plan: Plan) -> None:
    """Clip, in place, the float weights of a Q/DQ graph to their grids.

    QuantizeLinear saturates at -128, and a narrow grid of the plan ends at -127: with the weights
    inside, the graph gives the integers that were simulated.

    Args:
        model: Float weights with QuantizeLinear and DequantizeLinear.
        plan: Its narrow integer weights are held; others stay.
    """
    narrow = {
        t.tensor: t
        for t in plan.quantized
        if t.kind == "weight" and getattr(t.number, "narrow", False)
    }
    for node in list(model.graph):
        value = node.inputs[0] if node.op_type == "QuantizeLinear" else None
        tensor = narrow.get(str(value.name)) if value is not None else None
        if value is None or tensor is None or value.const_value is None:
            continue
        if not isinstance(tensor.params, Params):
            continue
        array, scale = value.const_value.numpy(), tensor.params.scale
        axis = getattr(tensor.number, "axis", None)
        shape = [1] * array.ndim
        if axis is not None:
            shape[axis] = -1
        spread = scale.reshape(shape if axis is not None else ())
        over = np.abs(np.rint(array / spread)) > 127
        if np.any(over):
            held = np.where(over, np.sign(array) * np.float32(127) * spread, array)
            _put(model, node, held.astype(np.float32))


def _put(model: ir.Model, node: ir.Node, array: NDArray[np.float32]) -> None:
    """Give a QuantizeLinear this weight; another reader of the old one keeps it."""
    value = node.inputs[0]
    assert value is not None
    name = str(value.name)
    if len(value.uses()) == 1 and not value.is_graph_output():
        value.const_value = ir.tensor(array, name=name)
        return
    name += "_clipped"
    while name in model.graph.initializers:
        name += "_"
    made = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    model.graph.register_initializer(made)
    node.replace_input_with(0, made)

"""The input of the first convolution on the grid of whole pixels, which 8 bits hold exactly.

A network is fed with x = (p - mean) / std, and p is one of 256 numbers; but with a mean and a std
for each channel no single scale has a step for each of them, and the first rounding is often the
largest error of all. So the graph undoes the scaling, and the convolution takes it in:

    u = x * std + (mean - 128) = p - 128            whole, from -128 to 127: scale 1
    W' = W / std        b' = b + sum over channels and taps of W' * (128 - mean)

Padding is done before, on x, so that borders stay what they were. Exact in float but for rounding of
the last bit; the input of the model stays x. Source: ours.
"""

__all__ = ["on_input_grid"]

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.choose.weight_grids import weight_range
from quant.formats.number_format import Integer, Params
from quant.formats.precision import Precision
from quant.graph.edit import GraphEditor
from quant.graph.layers import data_input, optional_input
from quant.graph.prepared_graph import Graph, weight_of
from quant.plan.tensor_plans import LayerPlan, Plan, TensorPlan

MIDDLE = 128
"""The pixel that becomes 0."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _FirstConv:
    """The convolution that alone reads the only input, and its grids.

    Attributes:
        name: The node's name.
        weight: Name of its weight, which no other node reads.
        channels: How many the input has.
        input_grid: The plan of the input.
        weight_grid: The plan of the weight.
        input_format: Integers of 8 bits with one scale.
        weight_format: Integers of 8 bits or less.
    """

    name: str
    weight: str
    channels: int
    input_grid: TensorPlan
    weight_grid: TensorPlan
    input_format: Integer
    weight_format: Integer


def on_input_grid(graph: Graph, plan: Plan, pixels: F64) -> tuple[Graph, Plan] | None:
    """Return a graph whose first convolution reads whole pixels, and its plan; None if it cannot.

    It can where the only input is `[N, C, H, W]`, read by one Conv alone, and the plan has 8-bit
    integers for the input and integers of 8 bits or less for the weight. Everything else of the plan
    stays as it is; the bias shift of that layer, which was for other weights, is dropped.

    Args:
        graph: The prepared graph.
        plan: The graph's plan.
        pixels: float64 `[2, C]` or `[2, 1]`, mean and std in 0..255 units.
    """
    first = _first_conv(graph, plan)
    if first is None or pixels.shape[1] not in (1, first.channels):
        return None
    mean, std = (np.broadcast_to(row, (first.channels,)) for row in pixels)
    edited, nodes = _edited(graph, first, mean, std)
    return edited, _planned(edited, plan, first, nodes)


def _first_conv(graph: Graph, plan: Plan) -> _FirstConv | None:
    """Return the convolution that can read whole pixels, or None."""
    if len(graph.inputs) != 1:
        return None
    value = graph.inputs[0]
    uses = tuple(value.uses())
    if len(uses) != 1 or value.is_graph_output() or value.shape is None or len(value.shape) != 4:
        return None
    node = uses[0].node
    weight, bias = weight_of(node), optional_input(node, 2)
    explicit = node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    grouped = node.attributes.get_int("group", 1) != 1
    if node.op_type != "Conv" or weight is None or grouped or not explicit:
        return None
    if len(weight.uses()) != 1 or (bias is not None and not bias.is_initializer()):
        return None
    input_grid = plan.grid(str(value.name), str(node.name))
    weight_grid = plan.grid(str(weight.name), str(node.name))
    if input_grid is None or weight_grid is None:
        return None
    input_format, weight_format = input_grid.format, weight_grid.format
    if not isinstance(input_format, Integer) or not isinstance(weight_format, Integer):
        return None
    if input_format.bits != 8 or input_format.axis is not None or weight_format.bits > 8:
        return None
    return _FirstConv(
        name=str(node.name),
        weight=str(weight.name),
        channels=graph.array(str(weight.name)).shape[1],
        input_grid=input_grid,
        weight_grid=weight_grid,
        input_format=input_format,
        weight_format=weight_format,
    )


def _edited(graph: Graph, first: _FirstConv, mean: F64, std: F64) -> tuple[Graph, list[ir.Node]]:
    """Return the graph with Pad, Mul and Add before its first convolution, and these nodes."""
    edit = GraphEditor(graph.clone())
    node = next(n for n in edit.model.graph if n.name == first.name)
    value, weight, bias = data_input(node, 0), data_input(node, 1), optional_input(node, 2)
    fresh = graph.array(first.weight).astype(np.float64) / std[None, :, None, None]
    old = graph.array(str(bias.name)).astype(np.float64) if bias is not None else 0.0
    total = old + np.einsum("kcij,c->k", fresh, MIDDLE - mean)
    nodes = []
    pads = list(node.attributes.get_ints("pads", [0, 0, 0, 0]))
    if any(pads):
        wide = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
        nodes.append(
            _new_node(edit, first.name, "Pad", [value, _constant(edit, first.name, "pads", wide)])
        )
        value = nodes[-1].outputs[0]
        value.shape = _padded_shape(data_input(nodes[-1], 0).shape, wide)
        node.attributes.add(ir.AttrInt64s("pads", [0, 0, 0, 0]))
    shape = (1, -1, 1, 1)
    for op, what, numbers in (("Mul", "std", std), ("Add", "mean", mean - MIDDLE)):
        constant = _constant(edit, first.name, what, numbers.reshape(shape).astype(np.float32))
        nodes.append(_new_node(edit, first.name, op, [value, constant]))
        nodes[-1].outputs[0].shape = value.shape
        value = nodes[-1].outputs[0]
    edit.before(node, nodes)
    node.replace_input_with(0, value)
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    weight.const_value = ir.tensor(fresh.astype(np.float32), name=first.weight)
    constant = _constant(edit, first.name, "bias", np.asarray(total, np.float32))
    node.replace_input_with(2, constant)
    if bias is not None and not bias.uses() and not bias.is_graph_output():
        del edit.model.graph.initializers[str(bias.name)]
    edit.model.graph.sort()
    return replace(graph, model=edit.model), nodes


def _constant(edit: GraphEditor, name: str, what: str, array: NDArray[np.generic]) -> ir.Value:
    return edit.constant(f"{name}_pixel_{what}", array)


def _new_node(edit: GraphEditor, name: str, op: str, inputs: list[ir.Value]) -> ir.Node:
    label = f"{name}_pixel_{op}"
    node = edit.node(op, inputs, {}, (label, f"{label}_output"))
    node.outputs[0].dtype = ir.DataType.FLOAT
    return node


def _padded_shape(shape: ir.Shape | None, pads: NDArray[np.int64]) -> ir.Shape | None:
    """Return the shape behind a Pad; a size that is not known stays so, but for the batch."""
    if shape is None:
        return None
    sizes = [
        d + int(pads[i] + pads[i + 4]) if isinstance(d, int) else (d if i == 0 else None)
        for i, d in enumerate(shape)
    ]
    return ir.Shape(sizes)


def _planned(graph: Graph, plan: Plan, first: _FirstConv, nodes: list[ir.Node]) -> Plan:
    """Return the plan of the edited graph."""
    pixels = str(nodes[-1].outputs[0].name)
    zero = 0 if first.input_format.signed else MIDDLE
    readers = first.input_grid.readers
    input_grid = replace(
        first.input_grid,
        tensor=pixels,
        params=Params(scale=np.array(1, np.float32), zero_point=np.array(zero, np.int32)),
        readers=None if readers is None else ((first.name, 0),),
        because="whole pixels: a step for each of the 256",
    )
    array = graph.array(first.weight).astype(np.float32)
    params = weight_range(array, first.weight_format, "mse")
    weight_grid = replace(first.weight_grid, params=params)
    tensors = {
        pixels if t is first.input_grid else key: input_grid
        if t is first.input_grid
        else weight_grid
        if t is first.weight_grid
        else t
        for key, t in plan.tensors.items()
    }
    layers = {
        str(n.name): LayerPlan(
            layer=str(n.name),
            op=n.op_type,
            precision=Precision.FLOAT32,
            because="from the input to pixels",
        )
        for n in nodes
    }
    return replace(
        plan,
        graph=graph.fingerprint,
        layers={**layers, **plan.layers},
        tensors=tensors,
        bias_shifts={k: v for k, v in plan.bias_shifts.items() if k != first.name},
    )

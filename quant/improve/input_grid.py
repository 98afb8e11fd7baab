"""Pixel grid: the input of the first convolution in whole pixels, which 8 bits hold exactly.

A network is fed with x = (p - mean) / std, and p is one of 256 numbers; but with a mean and a std
for each channel no single scale has a step for each of them, and the first rounding is often the
largest error of all. So the graph undoes the scaling, and the convolution takes it in:

    u = x * std + (mean - 128) = p - 128            whole, from -128 to 127: scale 1
    W' = W / std        b' = b + sum over channels and taps of W' * (128 - mean)

Padding is done before, on x, so that borders stay what they were. Exact in float but for rounding of
the last bit; the input of the model stays x. Source: ours.
"""

__all__ = ["on_input_grid"]

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.choose.weight_grids import weight_range
from quant.formats.number_format import Integer, Params
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph, named_values, weight_of
from quant.plan.tensor_plans import LayerPlan, Plan, TensorPlan

MIDDLE = 128
"""The pixel that becomes 0."""

F64 = NDArray[np.float64]


def on_input_grid(graph: Graph, plan: Plan, pixels: F64) -> tuple[Graph, Plan] | None:
    """Return a graph whose first convolution reads whole pixels, and its plan; None if it cannot.

    It can where the only input is `[N, C, H, W]`, read by one Conv alone, which is quantized, and
    the plan has 8-bit integers for both. Everything else of the plan stays as it is; the bias shift
    of that layer, which was for other weights, is dropped.

    Args:
        graph: The prepared graph.
        plan: Of it.
        pixels: float64 `[2, C]` or `[2, 1]`, mean and std in 0..255 units.
    """
    node = _first(graph)
    if node is None:
        return None
    name, weight = str(graph.inputs[0].name), weight_of(node)
    assert weight is not None
    before = plan.grid(name, str(node.name))
    kernel = plan.grid(str(weight.name), str(node.name))
    if not _eight(before) or not _eight(kernel) or len(weight.uses()) != 1:
        return None
    channels = graph.array(str(weight.name)).shape[1]
    if pixels.shape[1] not in (1, channels):
        return None
    mean, std = (np.broadcast_to(row, (channels,)) for row in pixels)
    made = _rewritten(graph, str(node.name), mean, std)
    assert before is not None
    assert kernel is not None
    return made, _planned(made, plan, str(node.name), before, kernel)


def _first(graph: Graph) -> ir.Node | None:
    """Return the Conv that alone reads the only input."""
    if len(graph.inputs) != 1:
        return None
    value = graph.inputs[0]
    uses = tuple(value.uses())
    if len(uses) != 1 or value.is_graph_output() or value.shape is None or len(value.shape) != 4:
        return None
    node = uses[0].node
    plain = node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    grouped = node.attributes.get_int("group", 1) != 1
    if node.op_type != "Conv" or weight_of(node) is None or grouped or not plain:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return node if bias is None or bias.is_initializer() else None


def _eight(tensor: TensorPlan | None) -> bool:
    return (
        tensor is not None
        and isinstance(tensor.format, Integer)
        and tensor.format.bits <= 8
        and (tensor.kind == "weight" or (tensor.format.bits == 8 and tensor.format.axis is None))
    )


def _rewritten(graph: Graph, name: str, mean: F64, std: F64) -> Graph:
    """Return the graph with Pad, Mul and Add before its first convolution."""
    model = graph.clone()
    node = next(n for n in model.graph if n.name == name)
    value, weight = node.inputs[0], node.inputs[1]
    assert value is not None
    assert weight is not None
    edit = _Edit(model, name)
    old = graph.array(str(weight.name)).astype(np.float64)
    fresh = old / std[None, :, None, None]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    known = graph.array(str(bias.name)).astype(np.float64) if bias is not None else 0.0
    total = known + np.einsum("kcij,c->k", fresh, MIDDLE - mean)
    pads = list(node.attributes.get_ints("pads", [0, 0, 0, 0]))
    if any(pads):
        wide = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
        value = edit.node("Pad", [value, edit.constant("pads", wide)])
        node.attributes.add(ir.AttrInt64s("pads", [0, 0, 0, 0]))
    shape = (1, -1, 1, 1)
    value = edit.node("Mul", [value, edit.constant("std", std.reshape(shape).astype(np.float32))])
    level = (mean - MIDDLE).reshape(shape).astype(np.float32)
    value = edit.node("Add", [value, edit.constant("mean", level)])
    node.replace_input_with(0, value)
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    stored = ir.tensor(fresh.astype(np.float32), name=str(weight.name))
    weight.const_value = stored
    node.replace_input_with(2, edit.constant("bias", np.asarray(total, np.float32)))
    if bias is not None and not bias.uses() and not bias.is_graph_output():
        del model.graph.initializers[str(bias.name)]
    model.graph.sort()
    return replace(graph, model=model)


class _Edit:
    """New nodes before one node, under names that are free."""

    def __init__(self, model: ir.Model, name: str) -> None:
        self.model, self.name = model, name
        self._taken = {*named_values(model), *(str(n.name) for n in model.graph)}
        self._before = next(n for n in model.graph if n.name == name)

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def constant(self, what: str, array: NDArray[Any]) -> ir.Value:
        """Return a new initializer."""
        name = self._free(f"{self.name}_pixel_{what}")
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.dtype = ir.Shape(list(array.shape)), ir.DataType.from_numpy(array.dtype)
        self.model.graph.register_initializer(value)
        return value

    def node(self, op: str, inputs: list[ir.Value]) -> ir.Value:
        """Return the output of a new node."""
        made = ir.node(op, inputs, name=self._free(f"{self.name}_pixel_{op}"))
        output = made.outputs[0]
        output.name, output.dtype = self._free(f"{made.name}_output"), ir.DataType.FLOAT
        shape = inputs[0].shape
        if shape is not None and op != "Pad":
            output.shape = shape
        elif shape is not None:
            wide = inputs[1].const_value.numpy()  # type: ignore[union-attr]
            sizes = [
                d + int(wide[i] + wide[i + 4]) if isinstance(d, int) else (d if i == 0 else None)
                for i, d in enumerate(shape)
            ]
            output.shape = ir.Shape(sizes)
        self.model.graph.insert_before(self._before, made)
        return output


def _planned(graph: Graph, plan: Plan, name: str, before: TensorPlan, kernel: TensorPlan) -> Plan:
    """Return the plan of the new graph."""
    node = next(n for n in graph.nodes if n.name == name)
    pixels = str(node.inputs[0].name)  # type: ignore[union-attr]
    number = before.format
    assert isinstance(number, Integer)
    zero = 0 if number.signed else MIDDLE
    params = Params(scale=np.array(1, np.float32), zero_point=np.array(zero, np.int32))
    grid = replace(
        before,
        tensor=pixels,
        params=params,
        readers=None if before.readers is None else ((name, 0),),
        because="whole pixels: a step for each of the 256",
    )
    array = graph.array(kernel.tensor).astype(np.float32)
    number = kernel.format
    assert isinstance(number, Integer)
    fresh = replace(kernel, params=weight_range(array, number, "mse"))
    tensors = {pixels if t is before else k: t for k, t in plan.tensors.items()}
    tensors = {k: {id(before): grid, id(kernel): fresh}.get(id(t), t) for k, t in tensors.items()}
    added = [n for n in graph.nodes if str(n.name) not in plan.layers and _new(n, name)]
    layers = {
        str(n.name): LayerPlan(
            layer=str(n.name),
            op=n.op_type,
            precision=Precision.FLOAT32,
            because="from the input to pixels",
        )
        for n in added
    }
    return replace(
        plan,
        graph=graph.fingerprint,
        layers={**layers, **plan.layers},
        tensors=tensors,
        bias_shifts={k: v for k, v in plan.bias_shifts.items() if k != name},
    )


def _new(node: ir.Node, name: str) -> bool:
    return str(node.name).startswith(f"{name}_pixel_")

"""Simulate: the graph with a plan's quantizers in it, as plain ONNX that ONNX Runtime runs.

Every grid becomes QuantizeLinear -> DequantizeLinear, weights are stored as their integers, and a
bias lies on the grid `input scale * weight scale` where the target wants that. Run with
`FLOAT_KERNELS` the operators compute in float32 between the grids: the simulation. Run as it is,
ONNX Runtime fuses it to integer kernels.
"""

__all__ = ["FLOAT_KERNELS", "open_simulation", "quantize_graph"]

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.errors import InputError
from quant.formats import INT32, SMALLEST_SCALE, Integer, Params
from quant.graph import WEIGHTED, Graph, weight_of
from quant.plan import Plan, TensorPlan
from quant.plan_check import check_plan
from quant.session import open_session
from quant.target import Target

FLOAT_KERNELS: Mapping[str, str] = MappingProxyType({"session.disable_quant_qdq": "1"})
"""Session entries that keep ONNX Runtime from fusing quantizers into integer kernels."""


def open_simulation(model: ir.Model, threads: int = 0) -> Any:
    """Return an ONNX Runtime session in which the operators compute in float32 between the grids.

    Its TransposeOptimizer is left out: with quantizers kept apart it moves Transpose nodes wrongly
    (1.32.0 refuses a transformer's residual Add with "Incompatible dimensions").
    """
    return open_session(
        model,
        threads=threads,
        entries=FLOAT_KERNELS,
        disabled=("TransposeOptimizer", "TransposeOptimizer_CPUExecutionProvider"),
    )


def quantize_graph(
    graph: Graph,
    plan: Plan,
    target: Target,
    *,
    weight_form: str | None = None,
    only: frozenset[str] | None = None,
) -> ir.Model:
    """Return a copy of the graph with the plan's quantizers.

    Args:
        graph: The prepared graph the plan is about.
        plan: Which tensors, and their numbers.
        target: Says how weights and biases are stored.
        weight_form: Overrides the target's: "integer" (int8, DequantizeLinear) or "float" (float
            weight, QuantizeLinear, DequantizeLinear).
        only: Names of tensors to quantize; None for all of the plan.

    Raises:
        InputError: The plan is of another graph, or names a tensor or reader that it lacks.
    """
    check_plan(plan, graph, target)
    edit = _Edit(graph.clone())
    form = weight_form or target.weight_form
    chosen = [t for t in plan.quantized if only is None or t.tensor in only]
    for node in list(edit.model.graph):
        shift = plan.shifts.get(str(node.name))
        weight = weight_of(node)
        if shift is not None and weight is not None and (only is None or str(weight.name) in only):
            edit.shift(node, shift)
    for tensor in chosen:
        edit.quantize(tensor, form)
    if target.bias is not None:
        for node in list(edit.model.graph):
            edit.bias(node)
    edit.finish()
    return edit.model


class _Edit:
    """Quantizer nodes put into one model."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        graph = model.graph
        self.values = {str(v.name): v for v in [*graph.inputs, *graph.initializers.values()]}
        for node in graph:
            self.values.update({str(v.name): v for v in node.outputs if v.name})
        self._nodes = {str(n.name) for n in graph}
        self._names = set(self.values)

    def _free(self, name: str, taken: set[str]) -> str:
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    def _constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        name = self._free(name, self._names)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        self.model.graph.register_initializer(value)
        return value

    def _node(self, op: str, inputs: list[ir.Value], number: Integer, name: str) -> ir.Node:
        attributes = {} if number.axis is None else {"axis": number.axis}
        node = ir.node(op, inputs, attributes, name=self._free(f"{name}_{op}", self._nodes))
        output = node.outputs[0]
        output.name = self._free(f"{name}_{op}_Output", self._names)
        output.shape = inputs[0].shape
        output.dtype = number.dtype if op == "QuantizeLinear" else ir.DataType.FLOAT
        return node

    def _grid(self, name: str, number: Integer, params: Params) -> list[ir.Value]:
        zero = params.zero_point.astype(number.dtype.numpy())
        scale = self._constant(f"{name}_scale", params.scale)
        return [scale, self._constant(f"{name}_zero_point", zero)]

    def quantize(self, tensor: TensorPlan, form: str) -> None:
        """Put the quantizers of one tensor in."""
        number, params = tensor.number, tensor.params
        if number is None or params is None:
            return
        value = self.values[tensor.tensor]
        grid = self._grid(tensor.tensor, number, params)
        if tensor.kind == "weight" and form == "integer":
            tensor_value = value.const_value
            integers = number.quantize(tensor_value.numpy(), params)  # type: ignore[union-attr]
            stored = integers.astype(number.dtype.numpy())
            quantized = self._constant(f"{tensor.tensor}_quantized", stored)
            dequantize = self._node("DequantizeLinear", [quantized, *grid], number, tensor.tensor)
            made = [dequantize]
        else:
            quantize = self._node("QuantizeLinear", [value, *grid], number, tensor.tensor)
            inputs = [quantize.outputs[0], *grid]
            dequantize = self._node("DequantizeLinear", inputs, number, tensor.tensor)
            made = [quantize, dequantize]
        self._redirect(value, tensor, dequantize.outputs[0], {id(n) for n in made})
        self._insert(value, made)

    def _insert(self, value: ir.Value, made: list[ir.Node]) -> None:
        producer = value.producer()
        graph = self.model.graph
        if producer is not None:
            graph.insert_after(producer, made)
        elif len(graph):
            graph.insert_before(graph[0], made)

    def _redirect(
        self, value: ir.Value, tensor: TensorPlan, dequantized: ir.Value, own: set[int]
    ) -> None:
        """Let the readers see the grid's numbers; a graph output keeps its name."""
        wanted = None if tensor.readers is None else set(tensor.readers)
        for use in list(value.uses()):
            if id(use.node) in own:
                continue
            if wanted is None or (str(use.node.name), use.idx) in wanted:
                use.node.replace_input_with(use.idx, dequantized)
                if wanted is not None:
                    wanted.discard((str(use.node.name), use.idx))
        if wanted:
            node, index = min(wanted)
            raise InputError(
                f"plan: tensor '{tensor.tensor}' has a reader that the graph does not have: input "
                f"{index} of node '{node}'. Remove the reader."
            )
        outputs = self.model.graph.outputs
        made = value.producer() is not None  # an input or a weight keeps its name
        if tensor.readers is None and made and value in outputs:
            name = str(value.name)
            value.name = self._free(f"{name}_float", self._names)
            dequantized.name = name
            for index, output in enumerate(outputs):
                if output is value:
                    outputs[index] = dequantized

    def shift(self, node: ir.Node, shift: NDArray[np.float32]) -> None:
        """Add to a layer's bias; the other readers of a shared bias keep theirs."""
        old = node.inputs[2] if len(node.inputs) > 2 else None
        known = old.const_value if old is not None else None
        total = np.asarray(shift if known is None else known.numpy() + shift, np.float32)
        name = str(old.name) if old is not None else f"{node.name}_bias"
        value = self._constant(f"{name}_corrected", total)
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, value)

    def bias(self, node: ir.Node) -> None:
        """Put a layer's bias on the grid input scale * weight scale, where both have one."""
        if node.op_type not in WEIGHTED:
            return
        dequantized = node.inputs[1].producer() if len(node.inputs) > 2 and node.inputs[1] else None
        source = node.inputs[0].producer() if node.inputs and node.inputs[0] else None
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if bias is None or bias.const_value is None or dequantized is None or source is None:
            return
        if {dequantized.op_type, source.op_type} != {"DequantizeLinear"}:
            return
        scales = [n.inputs[1].const_value.numpy() for n in (source, dequantized)]  # type: ignore[union-attr]
        array = bias.const_value.numpy().astype(np.float32)
        scale = np.maximum(scales[0] * scales[1], SMALLEST_SCALE).astype(np.float32)
        number = INT32.along(0 if scale.ndim else None)
        if scale.ndim and scale.shape != array.shape:
            return  # a bias that is broadcast has no scale per channel
        params = Params(scale=scale, zero_point=np.zeros(scale.shape, np.int32))
        name = f"{bias.name}_of_{node.name}"
        stored = self._constant(f"{name}_quantized", number.quantize(array, params))
        made = self._node(
            "DequantizeLinear", [stored, *self._grid(name, number, params)], number, name
        )
        self.model.graph.insert_before(node, made)
        node.replace_input_with(2, made.outputs[0])

    def finish(self) -> None:
        """Drop what is no longer read and put the nodes in order."""
        graph = self.model.graph
        for name in [n for n, v in graph.initializers.items() if not v.uses()]:
            if graph.initializers[name] not in graph.outputs:
                del graph.initializers[name]
        graph.sort()

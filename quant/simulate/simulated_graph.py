"""The graph with a plan's quantizers in it, as plain ONNX that ONNX Runtime runs.

Every grid becomes QuantizeLinear -> DequantizeLinear, or a model-local function where ONNX has no
operator for it; weights are stored as their integers, and a bias lies on the grid `input scale *
weight scale` where the target wants that. Run with `FLOAT_KERNELS` the operators compute in float32
between the grids: the simulation. Run as it is, ONNX Runtime fuses it to integer kernels.
"""

__all__ = ["bias_grid", "quantize_graph"]

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.formats.number_format import INT32, SMALLEST_SCALE, Integer, OnnxNode, Params
from quant.formats.onnx_functions import DOMAIN
from quant.graph.edit import GraphEditor
from quant.graph.opset import at_opset
from quant.graph.prepared_graph import WEIGHTED, Graph, weight_of
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.target.check_plan import check_plan
from quant.target.table import Target


def quantize_graph(
    graph: Graph,
    plan: Plan,
    target: Target,
    *,
    weight_form: Literal["integer", "float"] | None = None,
    only: frozenset[str] | None = None,
) -> ir.Model:
    """Return a copy of the graph with the plan's quantizers.

    Args:
        graph: The prepared graph the plan is about.
        plan: Which tensors, and their numbers.
        target: The table, for how weights and biases are stored.
        weight_form: Overrides the target's: "integer" (int8, DequantizeLinear) or "float" (float
            weight, QuantizeLinear, DequantizeLinear).
        only: Names of tensors to quantize; None for all of the plan.

    Raises:
        InputError: The plan is of another graph, or names a tensor or reader that it lacks.
    """
    check_plan(plan, graph, target)
    form = weight_form or target.weight_form
    chosen = [t for t in plan.quantized if only is None or t.tensor in only]
    needed = max((t.format.opset for t in chosen if t.format is not None), default=0)
    edit = _QuantizerEditor(
        at_opset(graph.clone(), needed, f"plan for '{plan.target}'"), typed=False
    )
    for node in list(edit.model.graph):
        shift = plan.bias_shifts.get(str(node.name))
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


def bias_grid(
    bias: NDArray[np.float32], input_scale: NDArray[Any], weight_scale: NDArray[Any]
) -> tuple[Integer, Params] | None:
    """Return the grid `input scale * weight scale`, on which an integer kernel adds a bias.

    None where the bias is broadcast along the channels, and so has no scale for each of them.
    """
    scale = np.maximum(input_scale * weight_scale, SMALLEST_SCALE).astype(np.float32)
    if scale.ndim and scale.shape != bias.shape:
        return None
    number_format = INT32.with_axis(0 if scale.ndim else None)
    return number_format, Params(scale=scale, zero_point=np.zeros(scale.shape, np.int32))


class _QuantizerEditor(GraphEditor):
    """Puts quantizer nodes into one model."""

    def __init__(self, model: ir.Model, *, typed: bool) -> None:
        super().__init__(model, typed=typed)
        self._functions: dict[str, Callable[[int], ir.Function]] = {}

    def quantize(self, tensor: TensorPlan, form: Literal["integer", "float"]) -> None:
        """Put the quantizers of one tensor in."""
        number_format, params = tensor.format, tensor.params
        if number_format is None or params is None:
            return
        value = self.values[tensor.tensor]
        steps = number_format.onnx_nodes(params, len(value.shape) if value.shape is not None else 0)
        source = value
        array = value.const_value.numpy() if value.const_value is not None else None
        if array is not None and (form == "integer" or len(steps) == 1):
            stored = number_format.quantized_array(array, params)
            numbers = number_format.fake_quantize(array, params) if stored is None else stored
            source = self.constant(f"{tensor.tensor}_quantized", numbers)
            steps = [] if stored is None else steps[-1:]
        elif array is not None and len(steps) > 2:  # what is on the grid needs no bound
            on_grid = number_format.fake_quantize(array, params)
            source = self.constant(f"{tensor.tensor}_on_grid", on_grid)
            steps = steps[1:]
        nodes = self._quantizer_nodes(steps, source, tensor.tensor)
        result = nodes[-1].outputs[0] if nodes else source
        self._redirect(value, tensor, result, {id(n) for n in nodes})
        if nodes:
            self.after_value(value, nodes)

    def _quantizer_nodes(
        self, steps: Sequence[OnnxNode], value: ir.Value, name: str
    ) -> list[ir.Node]:
        """Return the nodes of fake quantization, one behind the other, sharing their constants."""
        grid: dict[str, ir.Value] = {}
        nodes: list[ir.Node] = []
        for step in steps:
            for key, array in step.constants.items():
                if key not in grid:
                    grid[key] = self.constant(f"{name}_{key}", array)
            inputs = [value, *(grid[key] for key in step.constants)]
            names = f"{name}_{step.op}", f"{name}_{step.op}_Output"
            domain = ""
            if step.function is not None:
                domain, self._functions[step.op] = DOMAIN, step.function
            node = self.node(step.op, inputs, step.attributes, names, domain)
            output = node.outputs[0]
            output.shape, output.dtype = value.shape, ir.DataType[step.dtype]
            nodes.append(node)
            value = output
        return nodes

    def _redirect(
        self, value: ir.Value, tensor: TensorPlan, dequantized: ir.Value, own: set[int]
    ) -> None:
        """Let the readers see the grid's numbers; a graph output keeps its name."""
        missing = None if tensor.readers is None else set(tensor.readers)
        for use in list(value.uses()):
            if id(use.node) in own:
                continue
            if missing is None or (str(use.node.name), use.idx) in missing:
                use.node.replace_input_with(use.idx, dequantized)
                if missing is not None:
                    missing.discard((str(use.node.name), use.idx))
        if missing:
            node, index = min(missing)
            raise InputError(
                f"plan: tensor '{tensor.tensor}' has a reader that the graph does not have: input "
                f"{index} of node '{node}'. Remove the reader."
            )
        outputs = self.model.graph.outputs
        computed = value.producer() is not None  # an input or a weight keeps its name
        if tensor.readers is None and computed and value in outputs:
            name = str(value.name)
            self.rename(value, f"{name}_float")
            dequantized.name = name
            for index, output in enumerate(outputs):
                if output is value:
                    outputs[index] = dequantized

    def shift(self, node: ir.Node, shift: NDArray[np.float32]) -> None:
        """Add to a layer's bias; the other readers of a shared bias keep theirs."""
        old = node.inputs[2] if len(node.inputs) > 2 else None
        constant = old.const_value if old is not None else None
        total = np.asarray(shift if constant is None else constant.numpy() + shift, np.float32)
        name = str(old.name) if old is not None else f"{node.name}_bias"
        value = self.constant(f"{name}_corrected", total)
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, value)

    def bias(self, node: ir.Node) -> None:
        """Put a layer's bias on the grid input scale * weight scale, where both have one."""
        if node.op_type not in WEIGHTED:
            return
        if node.domain not in ("", "ai.onnx"):
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
        grid = bias_grid(array, *scales)
        if grid is None:
            return
        number_format, params = grid
        name = f"{bias.name}_of_{node.name}"
        stored = self.constant(f"{name}_quantized", number_format.quantize(array, params))
        (node_of_bias,) = self._quantizer_nodes(
            number_format.onnx_nodes(params, 1)[-1:], stored, name
        )
        self.before(node, [node_of_bias])
        node.replace_input_with(2, node_of_bias.outputs[0])

    def finish(self) -> None:
        """Drop what is no longer read, order the nodes, and add the functions that they call."""
        super().finish()
        for op in sorted({n.op_type for n in self.model.graph if n.domain == DOMAIN}):
            function = self._functions[op](self.model.opset_imports[""])
            self.model.functions[function.identifier()] = function
            self.model.opset_imports[DOMAIN] = 1

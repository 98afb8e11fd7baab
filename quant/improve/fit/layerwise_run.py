"""Run the float and the quantized network side by side through the same samples, node by node.

A layer is fitted on what really reaches it, with every layer before it already quantized and fitted.
All samples go through a node before the next one, so that each node runs once; a tensor is dropped
behind its last reader.
"""

__all__ = ["LayerwiseRun", "fake_quantize", "spread_to"]

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from quant.formats.number_format import Integer, Params
from quant.graph.layers import data_input, optional_input
from quant.graph.prepared_graph import Graph, weight_of
from quant.graph.session import open_session
from quant.improve.fit.torch_operators import can_run, run_node
from quant.plan.tensor_plans import Plan, TensorPlan

Tensor: TypeAlias = torch.Tensor

CHUNK = 16
"""Samples that run at once: more would push their largest tensor out of the processor's cache."""


def spread_to(numbers: Tensor, axis: int | None, rank: int) -> Tensor:
    """Shape `[C]` so that it broadcasts along an axis."""
    if axis is None or numbers.dim() == 0:
        return numbers
    shape = [1] * rank
    shape[axis] = -1
    return numbers.reshape(shape)


def fake_quantize(x: Tensor, grid: TensorPlan | None) -> Tensor:
    """Return what the chip sees of `x`; for integers the arithmetic is that of `quant.formats`."""
    if grid is None or grid.format is None or grid.params is None:
        return x
    number, params = grid.format, grid.params
    if not isinstance(number, Integer) or not isinstance(params, Params):
        return torch.from_numpy(number.fake_quantize(x.numpy(), params))
    scale = spread_to(torch.from_numpy(np.asarray(params.scale)), number.axis, x.dim())
    zero = torch.from_numpy(np.asarray(params.zero_point, np.float32))
    zero = spread_to(zero, number.axis, x.dim())
    near = torch.div(x, scale).round_()
    # clip(n + z) - z, which is the same in whole numbers and reads the memory once less
    return near.clamp_(number.qmin - zero, number.qmax - zero).mul_(scale)


def _last_reads(graph: Graph) -> dict[ir.Node, list[str]]:
    """Return by node the values that no later node reads, and that are no outputs."""
    last: dict[str, ir.Node] = {}
    for node in graph.nodes:
        for value in node.inputs:
            if value is not None and not value.is_initializer():
                last[str(value.name)] = node
    outputs = {str(v.name) for v in graph.outputs}
    names: dict[ir.Node, list[str]] = {}
    for name, node in last.items():
        if name not in outputs:
            names.setdefault(node, []).append(name)
    return names


class LayerwiseRun:
    """The values of both networks at one place of the graph.

    Attributes:
        graph: The prepared graph.
        plan: The grids.
        float_values: Values of the float network by name, in chunks of samples.
        quantized_values: Those of the quantized one, on their grid where all readers see one.

    Args:
        graph: Whose nodes are run.
        plan: The graph's plan.
        feeds: Float inputs by name, all samples.
        floats: The same nodes with the float network's constants; None where `graph` has them.
        chunk: Samples that run at once, where the graph does not say.
    """

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        feeds: Mapping[str, NDArray[Any]],
        floats: Graph | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self.graph, self.plan = graph, plan
        self._float_constants = _float_constants(graph, floats) if floats is not None else {}
        self._last_reads = _last_reads(graph)
        fixed = {v.shape[0] for v in graph.inputs if v.shape is not None and len(v.shape)}
        sizes = [d for d in fixed if isinstance(d, int)]
        self.chunk = sizes[0] if sizes else chunk
        self.samples = len(next(iter(feeds.values())))
        if sizes:  # a graph of one batch size cannot run a remainder
            self.samples -= self.samples % self.chunk
        self.float_values: dict[str, list[Tensor]] = {
            name: [_laid(torch.from_numpy(array[i : i + self.chunk])) for i in self._starts()]
            for name, array in feeds.items()
        }
        self._one_grid = {
            t.tensor: t for t in plan.quantized if t.kind == "activation" and t.readers is None
        }
        self.quantized_values: dict[str, list[Tensor]] = {
            name: [fake_quantize(x, self._one_grid.get(name)) for x in parts]
            for name, parts in self.float_values.items()
        }
        self._quantized_constants: dict[tuple[str, int], Tensor] = {}
        self._constants = {
            name: torch.from_numpy(np.array(value.const_value.numpy()))
            for name, value in graph.model.graph.initializers.items()
            if value.const_value is not None
        }

    def _starts(self) -> range:
        return range(0, self.samples, self.chunk)

    def constant(self, value: ir.Value) -> Tensor:
        """Return an initializer as it is in the float graph."""
        return self._constants[str(value.name)]

    def use(self, node: str, index: int, constant: Tensor) -> None:
        """Let the quantized network read this constant as input `index` of a node from now on."""
        self._quantized_constants[node, index] = constant

    def one_grid(self, name: str) -> TensorPlan | None:
        """Return the grid on which all readers see a value, or None."""
        return self._one_grid.get(name)

    def read(self, node: ir.Node, index: int, *, quantized: bool, chunk: int) -> Tensor:
        """Return what a node sees at an input; raises ValueError where it has none."""
        value = data_input(node, index)
        name = str(value.name)
        if value.is_initializer():
            key = str(node.name), index
            if not quantized:
                return self._float_constants.get(key, self.constant(value))
            if key not in self._quantized_constants:
                self._quantized_constants[key] = self._on_grid(node, index, value)
            return self._quantized_constants[key]
        if not quantized:
            return self.float_values[name][chunk]
        x = self.quantized_values[name][chunk]
        return (
            x if name in self._one_grid else fake_quantize(x, self.plan.grid(name, str(node.name)))
        )

    def _on_grid(self, node: ir.Node, index: int, value: ir.Value) -> Tensor:
        """Return a constant on the plan's grid, and a layer's bias with its shift."""
        grid = self.plan.grid(str(value.name), str(node.name))
        constant = fake_quantize(self.constant(value), grid)
        shift = self.plan.bias_shifts.get(str(node.name))
        if index != 2 or shift is None or weight_of(node) is None:
            return constant
        return constant + torch.from_numpy(shift)

    def inputs(self, node: ir.Node, *, quantized: bool, chunk: int) -> list[Tensor | None]:
        """Return all that a node sees; a layer's new bias or its shift stands for one it lacks."""
        tensors = [
            self.read(node, i, quantized=quantized, chunk=chunk) if value is not None else None
            for i, value in enumerate(node.inputs)
        ]
        bias = self._new_bias(node) if quantized and optional_input(node, 2) is None else None
        return tensors if bias is None else [*tensors[:2], bias]

    def _new_bias(self, node: ir.Node) -> Tensor | None:
        """Return the bias that the quantized network adds to a layer without one."""
        name = str(node.name)
        if weight_of(node) is None:
            return None
        if (name, 2) in self._quantized_constants:
            return self._quantized_constants[name, 2]
        shift = self.plan.bias_shifts.get(name)
        return None if shift is None else torch.from_numpy(shift)

    def chunks(self) -> range:
        """Return the numbers of the chunks."""
        return range(len(self._starts()))

    def advance(self, node: ir.Node) -> None:
        """Run a node over all samples in both networks, and drop what no later node reads."""
        with torch.no_grad():
            self._step(node, quantized=True)
            self._step(node, quantized=False)
        for name in self._last_reads.get(node, ()):
            self.float_values.pop(name, None)
            self.quantized_values.pop(name, None)

    def _step(self, node: ir.Node, *, quantized: bool) -> None:
        values = self.quantized_values if quantized else self.float_values
        for chunk in self.chunks():
            outputs = self._run(node, self.inputs(node, quantized=quantized, chunk=chunk))
            for value, x in zip(node.outputs, outputs, strict=True):
                name = str(value.name)
                grid = self._one_grid.get(name) if quantized else None
                values.setdefault(name, []).append(fake_quantize(x, grid))

    def _run(self, node: ir.Node, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        if can_run(node):
            return [run_node(node, inputs)]
        return _alone(self.graph, node, inputs)


def _float_constants(graph: Graph, floats: Graph) -> dict[tuple[str, int], Tensor]:
    """Return by node and input the constants of the float network; a bias it lacks is 0."""
    constants = {}
    for node, float_node in zip(graph.nodes, floats.nodes, strict=True):
        for index, value in enumerate(node.inputs):
            if value is None or not value.is_initializer():
                continue
            other = optional_input(float_node, index)
            array = graph.array(str(value.name)) if other is None else floats.array(str(other.name))
            constant = torch.from_numpy(np.array(array))
            constants[str(node.name), index] = (
                torch.zeros_like(constant) if other is None else constant
            )
    return constants


def _laid(x: Tensor) -> Tensor:
    """Return a tensor with the channels last in memory: what convolutions on a CPU like best."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _alone(graph: Graph, node: ir.Node, inputs: Sequence[Tensor | None]) -> list[Tensor]:
    """Run a node that torch cannot run in ONNX Runtime, in a model of its own."""
    names = [str(v.name) if v is not None else "" for v in node.inputs]
    values = {
        name: ir.Value(
            name=name, type=ir.TensorType(ir.DataType.from_numpy(x.numpy().dtype)), shape=None
        )
        for name, x in zip(names, inputs, strict=False)
        if x is not None
    }
    copy = ir.node(
        node.op_type,
        [values.get(name) for name in names],
        {a.name: a for a in node.attributes.values()},
        domain=node.domain,
        num_outputs=len(node.outputs),
    )
    for old, new in zip(node.outputs, copy.outputs, strict=True):
        new.name, new.type = old.name, old.type
    model = ir.Model(
        ir.Graph(
            list(values.values()),
            [v for v in copy.outputs if v.name],
            nodes=[copy],
            opset_imports=dict(graph.model.opset_imports),
        ),
        ir_version=graph.model.ir_version,
    )
    session = open_session(model)
    feeds = {n: x.numpy() for n, x in zip(names, inputs, strict=False) if x is not None}
    return [torch.from_numpy(a) for a in session.run(None, feeds)]

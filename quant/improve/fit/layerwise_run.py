"""Walk: the float and the quantized network side by side through the same samples, node by node.

What a step learns of a layer it learns on what really reaches that layer, with every layer before
it already quantized and improved. All samples go through a node before the next one, so that each
node runs once; a tensor is dropped behind its last reader.
"""

__all__ = ["LayerwiseRun", "fake_quantize", "forget", "spread_to"]

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from quant.formats.number_format import Integer, Params
from quant.graph.prepared_graph import Graph, weight_of
from quant.graph.session import open_session
from quant.improve.fit.torch_operators import can_run, run_node
from quant.plan.tensor_plans import Plan, TensorPlan

Tensor: TypeAlias = torch.Tensor

CHUNK = 16
"""Samples that run at once: their largest tensor still fits the cache's neighbourhood."""


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


def forget(graph: Graph) -> dict[int, list[str]]:
    """Return by a node's position the values that no later node reads."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for value in node.inputs:
            if value is not None and not value.is_initializer():
                last[str(value.name)] = index
    kept = {str(v.name) for v in graph.outputs}
    found: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in kept:
            found.setdefault(index, []).append(name)
    return found


class LayerwiseRun:
    """The values of both networks at one place of the graph.

    Attributes:
        graph: The prepared graph.
        plan: The grids; a step may put a better plan here on its way.
        plain: Float values by name, in chunks of samples.
        seen: Quantized values by name, on their grid where all readers see one.
        weights: By node and input what the quantized network uses for a constant.

    Args:
        graph: Whose nodes are walked.
        plan: Of it.
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
        self._floats = _float_constants(graph, floats) if floats is not None else {}
        fixed = {v.shape[0] for v in graph.inputs if v.shape is not None and len(v.shape)}
        sizes = [d for d in fixed if isinstance(d, int)]
        self.chunk = sizes[0] if sizes else chunk
        self.samples = len(next(iter(feeds.values())))
        if sizes:  # a graph of one batch size cannot run a remainder
            self.samples -= self.samples % self.chunk
        self.plain: dict[str, list[Tensor]] = {
            name: [_laid(torch.from_numpy(array[i : i + self.chunk])) for i in self._starts()]
            for name, array in feeds.items()
        }
        self._one_grid = {
            t.tensor: t for t in plan.quantized if t.kind == "activation" and t.readers is None
        }
        self.seen: dict[str, list[Tensor]] = {
            name: [fake_quantize(x, self._one_grid.get(name)) for x in parts]
            for name, parts in self.plain.items()
        }
        self.weights: dict[tuple[str, int], Tensor] = {}
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

    def one_grid(self, name: str) -> TensorPlan | None:
        """Return the grid on which all readers see a value, or None."""
        return self._one_grid.get(name)

    def read(self, node: ir.Node, index: int, *, quantized: bool, chunk: int) -> Tensor | None:
        """Return what a node sees at an input."""
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is None:
            return None
        name = str(value.name)
        if value.is_initializer():
            if not quantized:
                return self._floats.get((str(node.name), index), self.constant(value))
            if (str(node.name), index) in self.weights:
                return self.weights[str(node.name), index]
            made = fake_quantize(self.constant(value), self.plan.grid(name, str(node.name)))
            if (
                index == 2
                and str(node.name) in self.plan.bias_shifts
                and weight_of(node) is not None
            ):
                made = made + torch.from_numpy(self.plan.bias_shifts[str(node.name)])
            self.weights[str(node.name), index] = made
            return made
        if not quantized:
            return self.plain[name][chunk]
        if name in self._one_grid:
            return self.seen[name][chunk]
        return fake_quantize(self.seen[name][chunk], self.plan.grid(name, str(node.name)))

    def inputs(self, node: ir.Node, *, quantized: bool, chunk: int) -> list[Tensor | None]:
        """Return all that a node sees."""
        count = len(node.inputs)
        name = str(node.name)
        corrected = name in self.plan.bias_shifts or (name, 2) in self.weights
        if quantized and weight_of(node) is not None and corrected:
            count = max(count, 3)
        found = [self.read(node, i, quantized=quantized, chunk=chunk) for i in range(count)]
        if (
            quantized
            and len(found) > 2
            and found[2] is None
            and (str(node.name), 2) in self.weights
        ):
            found[2] = self.weights[str(node.name), 2]
        elif quantized and count > len(node.inputs):
            found[2] = torch.from_numpy(self.plan.bias_shifts[str(node.name)])
        return found

    def chunks(self) -> range:
        """Return the numbers of the chunks."""
        return range(len(self._starts()))

    def step(self, node: ir.Node, *, quantized: bool) -> None:
        """Run one node over all samples."""
        values = self.seen if quantized else self.plain
        for chunk in self.chunks():
            made = self._run(node, self.inputs(node, quantized=quantized, chunk=chunk))
            for value, x in zip(node.outputs, made, strict=True):
                name = str(value.name)
                grid = self._one_grid.get(name) if quantized else None
                values.setdefault(name, []).append(fake_quantize(x, grid))

    def _run(self, node: ir.Node, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        if can_run(node):
            return [run_node(node, inputs)]
        return _alone(self.graph, node, inputs)


def _float_constants(graph: Graph, floats: Graph) -> dict[tuple[str, int], Tensor]:
    """Return by node and input the constants of the float network; a bias it lacks is 0."""
    found = {}
    for node, plain in zip(graph.nodes, floats.nodes, strict=True):
        for index, value in enumerate(node.inputs):
            if value is None or not value.is_initializer():
                continue
            other = plain.inputs[index] if index < len(plain.inputs) else None
            source = (
                graph.array(str(value.name)) if other is None else floats.array(str(other.name))
            )
            made = torch.from_numpy(np.array(source))
            found[str(node.name), index] = torch.zeros_like(made) if other is None else made
    return found


def _laid(x: Tensor) -> Tensor:
    """Return a tensor with the channels last in memory: what convolutions on a CPU like best."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _alone(graph: Graph, node: ir.Node, inputs: Sequence[Tensor | None]) -> list[Tensor]:
    """Run a node that torch has not in ONNX Runtime, by itself."""
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
    made = ir.Model(
        ir.Graph(
            list(values.values()),
            [v for v in copy.outputs if v.name],
            nodes=[copy],
            opset_imports=dict(graph.model.opset_imports),
        ),
        ir_version=graph.model.ir_version,
    )
    session = open_session(made)
    feeds = {n: x.numpy() for n, x in zip(names, inputs, strict=False) if x is not None}
    return [torch.from_numpy(a) for a in session.run(None, feeds)]

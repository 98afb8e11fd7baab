"""Search the ranges of activations by the error that they make at the network's outputs.

An observer sees one tensor. What a saturated or a coarse tensor costs, the layers behind it decide.
So the whole simulated network runs with other ranges: one session, in which the constants of grids
are inputs, and one tensor (or group of tensors that share a grid) after the other, nearest the
input first. A range is shrunk on both sides, at its top or at its bottom for as long as that helps.

Source: the layer-wise search of Choukroun et al. 2019, "Low-bit Quantization of Neural Networks for
Efficient Inference", section 3, with the error at the outputs instead of the tensor's own.
"""

__all__ = ["search_ranges"]

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare.comparison import measurable_outputs
from quant.compare.float_reference import FloatReference
from quant.formats.number_format import Integer, Params
from quant.graph.layers import data_input, optional_input
from quant.graph.prepared_graph import Graph, named_values
from quant.graph.session import open_simulation
from quant.plan.tensor_plans import Plan
from quant.simulate.quantizer_nodes import grid_of
from quant.simulate.simulated_graph import bias_grid, quantize_graph
from quant.target.table import Target

SHRINK = 0.93
"""Factor on a range in one step: finer steps find the same ranges, and cost more runs."""

MAX_STEPS = 8
"""Steps in one direction at most: 0.93 to the 8th is 0.56."""

PATIENCE = 2
"""Steps without a gain before a direction is given up: the error goes down unevenly."""

MIN_GAIN = 0.999
"""A step is taken when its error is below this share of the least so far."""

ENDS = ((True, True), (False, True), (True, False))
"""Whether the low and the high end of a range are shrunk, one direction after the other."""

Array = NDArray[Any]


def search_ranges(
    graph: Graph,
    plan: Plan,
    target: Target,
    reference: FloatReference,
    fixed: Collection[str] = (),
) -> Plan | None:
    """Return the plan with better ranges of activations; None where no range can be searched.

    Only integers of 8 bits and less with one scale a tensor are searched. The error is the sum over
    the outputs of noise / signal.

    Args:
        graph: The plan's graph.
        plan: The graph's plan.
        target: The table.
        reference: The float network, and the batches to measure on, which run some hundred times.
        fixed: Names of tensors whose range stays.
    """
    network = _SimulatedNetwork(graph, plan, target, reference)
    if not network.groups:
        return None
    least = network.error({})
    changed: dict[str, Params] = {}
    for group in network.groups:
        if set(group.tensors) & set(fixed):
            continue
        ends = group.ends
        for shrunk in ENDS:
            if group.format.symmetric and shrunk != (True, True):
                continue
            if not ends[1 if shrunk[1] else 0]:
                continue  # that end is zero already
            tried, failed = ends, 0
            for _ in range(MAX_STEPS):
                low, high = (x * SHRINK if s else x for x, s in zip(tried, shrunk, strict=True))
                tried = low, high
                params = dict.fromkeys(group.tensors, group.format.parameters(low, high))
                error = network.error({**changed, **params})
                failed += 1
                if error < least * MIN_GAIN:
                    least, ends, failed = error, tried, 0
                    changed |= params
                if failed == PATIENCE:
                    break
    return _with_ranges(plan, changed)


def _with_ranges(plan: Plan, changed: Mapping[str, Params]) -> Plan:
    tensors = {
        key: replace(t, params=changed[t.tensor], because=f"{t.because}; range searched at outputs")
        if t.kind == "activation" and t.tensor in changed
        else t
        for key, t in plan.tensors.items()
    }
    return replace(plan, tensors=tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Tensors that share a grid.

    Attributes:
        tensors: Their names.
        format: Integers of 8 bits or less with one scale.
        params: The plan's grid.
    """

    tensors: tuple[str, ...]
    format: Integer
    params: Params

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest number on the grid."""
        low, high = self.format.grid_range(self.params)
        return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bias:
    """A layer's bias on the grid `input scale * weight scale`, which moves with the input's range.

    Attributes:
        tensor: The layer's input.
        numbers: float32 `[M]`, the bias with its shift.
        weight_scale: float32, `[]` or `[M]`.
        integers: Name of the constant that holds its integers.
        scale: Name of the constant that holds its scale.
    """

    tensor: str
    numbers: NDArray[np.float32]
    weight_scale: Array
    integers: str
    scale: str

    def constants(self, input_scale: Array) -> dict[str, Array]:
        """Return integers and scale by the names of the constants, for a scale of the input."""
        grid = bias_grid(self.numbers, input_scale, self.weight_scale)
        if grid is None:
            return {}
        number, params = grid
        return {self.integers: number.quantize(self.numbers, params), self.scale: params.scale}


class _SimulatedNetwork:
    """The simulated network; the constants of its grids are inputs of the session.

    Attributes:
        groups: Tensors whose ranges can be searched, in topological order.
    """

    def __init__(self, graph: Graph, plan: Plan, target: Target, reference: FloatReference) -> None:
        model = quantize_graph(graph, plan, target, weight_form="integer")
        self._formats: dict[str, Integer] = {}
        self._inputs: dict[str, dict[str, str]] = {}
        self._defaults: dict[str, Array] = {}
        self.groups = self._open_grids(model, plan)
        self._biases = self._open_biases(model, graph, plan)
        self._names = [str(v.name) for v in graph.outputs]
        self._session = open_simulation(model, reference.threads)
        # padding counts a sample again, which is harmless here
        self._feeds = [dict(b.feeds) for b in reference.batches]
        outputs = [reference.session.run(self._names, feeds) for feeds in self._feeds]
        self._compared = measurable_outputs(outputs[0])
        self._float = [[np.asarray(o[i], np.float64) for i in self._compared] for o in outputs]
        self._signal = [
            sum(float(np.vdot(o[j], o[j])) for o in self._float) for j in range(len(self._compared))
        ]

    def _open_grids(self, model: ir.Model, plan: Plan) -> list[_Group]:
        """Make inputs of the constants of grids; return the groups in the order of their nodes."""
        searchable = _searchable(plan)
        values = named_values(model)
        by_quantizer: dict[ir.Node, str] = {}
        for name, (number, params) in searchable.items():
            nodes = grid_of(values[name])
            keys = [step.constants for step in number.onnx_nodes(params, 0)]
            by_quantizer[next(n for n in nodes if n.op_type == "QuantizeLinear")] = name
            self._formats[name] = number
            self._inputs[name] = {
                key: str(data_input(node, index).name)
                for node, constants in zip(nodes, keys, strict=True)
                for index, key in enumerate(constants, 1)
            }
        members: dict[int, list[str]] = {}
        for node in model.graph:
            if node in by_quantizer:
                name = by_quantizer[node]
                members.setdefault(id(searchable[name][1]), []).append(name)
                for constant in self._inputs[name].values():
                    _as_input(model, constant, self._defaults)
        return [
            _Group(
                tensors=tuple(names),
                format=searchable[names[0]][0],
                params=searchable[names[0]][1],
            )
            for names in members.values()
        ]

    def _open_biases(self, model: ir.Model, graph: Graph, plan: Plan) -> list[_Bias]:
        """Make inputs of the constants of biases behind searched tensors, and return these."""
        tensors = {names["scale"]: tensor for tensor, names in self._inputs.items()}
        nodes = {str(n.name): n for n in graph.nodes}
        biases = []
        for node in list(model.graph):
            sources = [value.producer() for value in node.inputs[:3] if value is not None]
            grids = [g for g in sources if g is not None and g.op_type == "DequantizeLinear"]
            if len(grids) < 3 or str(node.name) not in nodes:
                continue
            data, weight, bias = grids
            tensor = tensors.get(str(data_input(data, 1).name))
            scale = data_input(weight, 1).const_value
            if tensor is None or scale is None:
                continue
            names = [str(data_input(bias, i).name) for i in (0, 1)]
            for name in names:
                _as_input(model, name, self._defaults)
            biases.append(
                _Bias(
                    tensor=tensor,
                    numbers=_float_bias(graph, plan, nodes[str(node.name)]),
                    weight_scale=scale.numpy(),
                    integers=names[0],
                    scale=names[1],
                )
            )
        return biases

    def error(self, changed: Mapping[str, Params]) -> float:
        """Return the sum over outputs of noise / signal with these grids, by tensor name."""
        constants = dict(self._defaults)
        for name, params in changed.items():
            for step in self._formats[name].onnx_nodes(params, 0):
                for key, array in step.constants.items():
                    default = self._defaults[self._inputs[name][key]]
                    constants[self._inputs[name][key]] = array.astype(default.dtype)
        for bias in self._biases:
            if bias.tensor in changed:
                constants |= bias.constants(changed[bias.tensor].scale)
        noise = np.zeros(len(self._compared))
        for feeds, expected in zip(self._feeds, self._float, strict=True):
            outputs = self._session.run(self._names, {**feeds, **constants})
            for j, i in enumerate(self._compared):
                off = outputs[i] - expected[j]
                noise[j] += float(np.vdot(off, off))
        return float(sum(n / s for n, s in zip(noise, self._signal, strict=True) if s > 0))


def _searchable(plan: Plan) -> dict[str, tuple[Integer, Params]]:
    """Return the activations with one grid for all readers, of integers with one scale."""
    names = [t.tensor for t in plan.quantized]
    return {
        t.tensor: (t.format, t.params)
        for t in plan.quantized
        if t.kind == "activation"
        and isinstance(t.format, Integer)
        and isinstance(t.params, Params)
        and t.format.bits <= 8
        and t.format.axis is None
        and names.count(t.tensor) == 1
    }


def _float_bias(graph: Graph, plan: Plan, node: ir.Node) -> NDArray[np.float32]:
    """Return a layer's bias with the plan's shift."""
    shift, bias = plan.bias_shifts.get(str(node.name)), optional_input(node, 2)
    numbers = graph.array(str(bias.name)) if bias is not None else np.float32(0)
    return np.asarray(numbers if shift is None else numbers + shift, np.float32)


def _as_input(model: ir.Model, name: str, defaults: dict[str, Array]) -> None:
    """Make an input of an initializer, and keep its number; one that is an input stays."""
    value = model.graph.initializers.get(name)
    if value is None or value.const_value is None:
        return
    array = value.const_value.numpy()
    defaults[name] = array
    fresh = ir.Value(
        name=name,
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        shape=ir.Shape(list(array.shape)),
    )
    value.replace_all_uses_with(fresh)
    del model.graph.initializers[name]
    model.graph.inputs.append(fresh)

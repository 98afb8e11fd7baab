"""Range search: ranges of activations by the error that they make at the network's outputs.

An observer sees one tensor. What a saturated or a coarse tensor costs, the layers behind it decide.
So the whole simulated network runs with other ranges: one session, whose scales and zero points are
inputs, and one tensor (or group of tensors that share a grid) after the other, nearest the input
first. A range is shrunk on both sides, at its top or at its bottom for as long as that helps.

Source: the layer-wise search of Choukroun et al. 2019, "Low-bit Quantization of Neural Networks for
Efficient Inference", section 3, with the error at the outputs instead of the tensor's own.
"""

__all__ = ["search_ranges"]

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare.batch import Batch
from quant.compare.comparison import measurable_outputs
from quant.formats.number_format import Integer, Params
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_simulation
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import Target

SHRINK = 0.93
"""Of a range in one step: finer steps find the same ranges, and cost more runs."""

STEPS = 8
"""In one direction at most: 0.93 to the 8th is 0.56."""

PATIENCE = 2
"""Steps without a gain before a direction is given up: the error goes down unevenly."""

GAIN = 0.999
"""The error must fall below this share of the least so far."""

Array = NDArray[Any]


def search_ranges(
    graph: Graph,
    plan: Plan,
    target: Target,
    samples: Sequence[Batch],
    plain: Any,
    threads: int = 0,
    fixed: Collection[str] = (),
) -> Plan | None:
    """Return the plan with better ranges of activations; None where no range can be searched.

    Only integers of 8 bits and less with one scale a tensor are searched. The error is the sum over the outputs of
    noise / signal.

    Args:
        graph: The plan's graph.
        plan: Of the graph.
        target: The table.
        samples: To measure on; they are run some hundred times.
        plain: ONNX Runtime session of the float network.
        threads: Threads inside one operator; 0 for all cores.
        fixed: Names of tensors whose range stays.
    """
    search = _Search(graph, plan, target, samples, plain, threads)
    if not search.groups:
        return None
    least = search.error({})
    changed: dict[str, Params] = {}
    for group in search.groups:
        if any(t.tensor in fixed for t in group):
            continue
        number, params = group[0].format, group[0].params
        assert isinstance(number, Integer)
        assert isinstance(params, Params)
        ends = [float(x) for x in number.grid_range(params)]
        for shrink in ((True, True), (False, True), (True, False)):
            if number.symmetric and shrink != (True, True):
                continue
            if not ends[1 if shrink[1] else 0]:
                continue  # that end is zero already
            tried, failed = ends, 0
            for _ in range(STEPS):
                tried = [end * SHRINK if s else end for end, s in zip(tried, shrink, strict=True)]
                fresh = number.parameters(*tried)
                error = search.error({**changed, **{t.tensor: fresh for t in group}})
                failed += 1
                if error < least * GAIN:
                    least, ends, failed = error, tried, 0
                    changed |= {t.tensor: fresh for t in group}
                if failed == PATIENCE:
                    break
    return _with(plan, changed)


def _with(plan: Plan, changed: Mapping[str, Params]) -> Plan:
    tensors = {
        key: replace(t, params=changed[t.tensor], because=f"{t.because}; range searched at outputs")
        if t.kind == "activation" and t.tensor in changed
        else t
        for key, t in plan.tensors.items()
    }
    return replace(plan, tensors=tensors)


class _Search:
    """The simulated network, whose scales are inputs."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        target: Target,
        samples: Sequence[Batch],
        plain: Any,
        threads: int,
    ) -> None:
        model = quantize_graph(graph, plan, target, weight_form="integer")
        grids = {t.tensor: t for t in plan.quantized if _searchable(t, plan)}
        self._inputs: dict[str, tuple[str, str]] = {}
        self._given: dict[str, Array] = {}
        for node in model.graph:
            name = str(node.inputs[0].name) if node.inputs and node.inputs[0] else ""
            name = name.removesuffix("_float") if name not in grids else name
            if node.op_type == "QuantizeLinear" and name in grids:
                scale, zero = node.inputs[1], node.inputs[2]
                assert scale is not None
                assert zero is not None
                self._inputs[name] = (str(scale.name), str(zero.name))
        for scale_name, zero_name in self._inputs.values():
            for key in (scale_name, zero_name):
                _as_input(model, key, self._given)
        by_grid: dict[int, list[TensorPlan]] = {}
        for name in self._inputs:
            by_grid.setdefault(id(grids[name].params), []).append(grids[name])
        self.groups = list(by_grid.values())
        self._numbers = {name: grids[name].format for name in self._inputs}
        self._names = [str(v.name) for v in graph.outputs]
        self._session = open_simulation(model, threads)
        self._feeds = [dict(b.feeds) for b in samples]  # padding counts a sample again: harmless
        wanted = [plain.run(self._names, feeds) for feeds in self._feeds]
        self._kept = measurable_outputs(wanted[0])
        self._wanted = [[np.asarray(w[i], np.float64) for i in self._kept] for w in wanted]
        self._signal = [
            sum(float(np.vdot(w[j], w[j])) for w in self._wanted) for j in range(len(self._kept))
        ]

    def error(self, changed: Mapping[str, Params]) -> float:
        """Return the sum over outputs of noise / signal with these grids."""
        given = dict(self._given)
        for name, params in changed.items():
            scale, zero = self._inputs[name]
            given[scale] = params.scale
            given[zero] = params.zero_point.astype(self._given[zero].dtype)
        noise = np.zeros(len(self._kept))
        for feeds, wanted in zip(self._feeds, self._wanted, strict=True):
            made = self._session.run(self._names, {**feeds, **given})
            for j, i in enumerate(self._kept):
                off = made[i] - wanted[j]
                noise[j] += float(np.vdot(off, off))
        return float(sum(n / s for n, s in zip(noise, self._signal, strict=True) if s > 0))


def _searchable(tensor: TensorPlan, plan: Plan) -> bool:
    """Tell whether a tensor has one grid of integers with one scale."""
    if tensor.kind != "activation" or not isinstance(tensor.format, Integer):
        return False
    alone = sum(t.tensor == tensor.tensor for t in plan.quantized) == 1
    return alone and tensor.format.bits == 8 and tensor.format.axis is None


def _as_input(model: ir.Model, name: str, given: dict[str, Array]) -> None:
    """Make an input of an initializer, and keep its number."""
    value = model.graph.initializers.get(name)
    if value is None or value.const_value is None:
        return
    array = value.const_value.numpy()
    given[name] = array
    fresh = ir.Value(
        name=name,
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        shape=ir.Shape(list(array.shape)),
    )
    value.replace_all_uses_with(fresh)
    del model.graph.initializers[name]
    model.graph.inputs.append(fresh)

"""Kernel table: a runtime's kernel times as the costs of layers and of conversions."""

__all__ = ["cost_table"]

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import nnls

from quant.cost.layer_costs import CostTable, LayerCost, conversions
from quant.cost.work import Work, batch_of, elements_of, works
from quant.formats.precision import Precision
from quant.graph.layer import Layer
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.latency.kernel_layers import SpentTime, mapped_share, with_lost_kernels
from quant.latency.numbered_nodes import NodeNumber
from quant.runtimes.kernel import KernelTime

COLUMNS = (Precision.FLOAT32, Precision.INT8)
"""The models whose layers are the table's; others only add conversions."""

Sample = tuple[float, float, float]
"""Bytes, conversions, milliseconds."""


def cost_table(
    graph: Graph,
    target: str,
    device: str,
    times: Mapping[str, Sequence[KernelTime]],
    precisions: Mapping[str, Mapping[str, Precision]],
) -> CostTable:
    """Return the costs of one sample.

    Args:
        graph: With the sizes that were measured.
        target: Its name.
        device: What the times are of, in words.
        times: By model its kernels, names numbered after the graph.
        precisions: By model the precision of each layer by name; "float32" and "int8" are there.
    """
    rows = batch_of(graph)
    counts = {name: elements_of(value) for name, value in graph.values.items()}
    elements = {name: count // rows for name, count in counts.items() if count is not None}
    every = graph.layers
    done = {w.layer: w for w in works(graph)}
    costs: dict[tuple[str, Precision], LayerCost] = {}
    samples: list[Sample] = []
    for model, found in times.items():
        spent = SpentTime.of(with_lost_kernels(found, graph))
        own, changed = _divided(graph, every, spent, precisions[model], elements)
        samples += [(moved, n, ms / rows) for moved, n, ms in changed]
        for precision in (p for p in COLUMNS if p == model):
            for index, layer in enumerate(every):
                cost = _cost(done[layer.name], precision, own[index] / rows)
                costs[layer.name, precision] = cost
    byte_ms, convert_ms = _fitted(samples)
    return CostTable(
        target=target,
        device=device,
        layers=costs,
        assumptions=_assumptions(times, device),
        elements=elements,
        byte_ms=byte_ms,
        convert_ms=convert_ms,
    )


def _divided(
    graph: Graph,
    every: Sequence[Layer],
    spent: SpentTime,
    precisions: Mapping[str, Precision],
    elements: Mapping[str, int],
) -> tuple[list[float], list[Sample]]:
    """Return the time of each layer, and of each change of precision."""
    own = [spent.layers.get(i, 0.0) for i in range(len(every))]
    moved: dict[str, float] = {}
    changes: dict[str, int] = {}
    for tensor, made, read in conversions(precisions, graph):
        bits = made.activation_bits + read.activation_bits
        moved[tensor] = moved.get(tensor, 0.0) + elements.get(tensor, 0) * bits / 8
        changes[tensor] = changes.get(tensor, 0) + 1
    took = dict.fromkeys(moved, 0.0)
    loose = 0.0
    for mark, milliseconds in spent.forms.items():
        name = _tensor(graph, every, mark)
        index = None if mark is None or name is None else _owner(every, mark, name)
        if name in took:
            took[name] += milliseconds
        elif index is not None:
            own[index] += milliseconds
        else:
            loose += milliseconds
    samples = [(moved[t], float(changes[t]), took[t]) for t in took]
    if samples:
        return own, [*samples, (0.0, 0.0, loose)]
    whole = sum(own)
    return [x + loose * x / whole for x in own] if whole else own, []


def _owner(every: Sequence[Layer], mark: NodeNumber, name: str) -> int | None:
    """Return the layer that a form belongs to where no precision changes: an input's first reader."""
    if mark.kind == "tensor":
        return mark.index
    readers = (i for i, x in enumerate(every) if name in {str(v.name) for v in x.node.inputs if v})
    return next(readers, None)


def _tensor(graph: Graph, every: Sequence[Layer], mark: NodeNumber | None) -> str | None:
    """Return the tensor whose form a mark is about, under the name that conversions know it by."""
    if mark is None:
        return None
    if mark.kind == "input":
        return str(graph.inputs[mark.index].name) if mark.index < len(graph.inputs) else None
    return source_of(graph, str(every[mark.index].output.name))


def _cost(work: Work, precision: Precision, milliseconds: float) -> LayerCost:
    weight, activation = precision.weight_bits, precision.activation_bits
    weights = -(-work.weights * weight // 8)
    biases = 4 * work.biases  # float32, or int32
    return LayerCost(
        layer=work.layer,
        op=work.op,
        precision=precision,
        macs=work.macs,
        bytes=weights + biases + -(-work.activations * activation // 8) + work.other_bytes,
        weight_bytes=weights,
        milliseconds=milliseconds,
        bound="measured",
        operations=work.operations,
    )


def _fitted(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return milliseconds a byte and a conversion: least squares, neither below 0, the sum kept."""
    rows = np.array(samples, np.float64).reshape(-1, 3)
    if not rows[:, 0].any():
        return 0.0, 0.0
    scale = rows[:, :2].max(axis=0)
    found = nnls(rows[:, :2] / scale, rows[:, 2])[0] / scale
    told = float((rows[:, :2] @ found).sum())
    ratio = float(rows[:, 2].sum()) / told if told else 0.0
    return float(found[0]) * ratio, float(found[1]) * ratio


def _assumptions(times: Mapping[str, Sequence[KernelTime]], device: str) -> tuple[str, ...]:
    share = min(mapped_share(found) for found in times.values())
    return (
        (
            f"Measured with the profiler of {device}: the least of the rounds, models in turns; "
            f"{100 * share:.1f} % of the time or more belongs to a layer or a conversion."
        ),
        (
            "What a runtime computes inside another layer (a sum in its convolution) takes 0 ms by "
            "itself; conversions are fitted to the export with every second weighted layer in float."
        ),
    )

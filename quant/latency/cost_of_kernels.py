"""A runtime's kernel times as a cost table of layers and of conversions between precisions."""

__all__ = ["cost_table"]

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import nnls

from quant.cost.layer_costs import CostTable, LayerCost, conversions
from quant.cost.work import Work, batch_of, elements_of, layer_work
from quant.formats.precision import Precision
from quant.graph.layer import Layer
from quant.graph.layers import source_of
from quant.graph.prepared_graph import Graph
from quant.latency.kernel_layers import SpentTime, mapped_share, with_lost_kernels
from quant.latency.numbered_nodes import NodeNumber
from quant.runtimes.kernel import KernelTime

COLUMNS = (Precision.FLOAT32, Precision.INT8)
"""The models whose layers are in the table; other models only add samples of conversions."""

Sample = tuple[float, float, float]
"""Bytes moved, number of conversions, milliseconds."""


def cost_table(
    graph: Graph,
    target: str,
    device: str,
    times: Mapping[str, Sequence[KernelTime]],
    precisions: Mapping[str, Mapping[str, Precision]],
) -> CostTable:
    """Return the costs of one sample.

    Args:
        graph: The graph, with the measured input sizes.
        target: Name of the target.
        device: Runtime and processor of the times, in words.
        times: Kernels by model, with names numbered after the graph.
        precisions: Precision of each layer, by model and name; "float32" and "int8" are required.
    """
    rows = batch_of(graph)
    counts = {name: elements_of(value) for name, value in graph.values.items()}
    elements = {name: count // rows for name, count in counts.items() if count is not None}
    all_layers = graph.layers
    work_of = {w.layer: w for w in layer_work(graph)}
    costs: dict[tuple[str, Precision], LayerCost] = {}
    samples: list[Sample] = []
    for model, kernels in times.items():
        spent = SpentTime.of(with_lost_kernels(kernels, graph))
        own, changed = _divided(graph, all_layers, spent, precisions[model], elements)
        samples += [(moved, n, ms / rows) for moved, n, ms in changed]
        for precision in (p for p in COLUMNS if p == model):
            for index, layer in enumerate(all_layers):
                cost = _cost(work_of[layer.name], precision, own[index] / rows)
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
    all_layers: Sequence[Layer],
    spent: SpentTime,
    precisions: Mapping[str, Precision],
    elements: Mapping[str, int],
) -> tuple[list[float], list[Sample]]:
    """Return the time of each layer, and of each conversion between precisions."""
    own = [spent.layers.get(i, 0.0) for i in range(len(all_layers))]
    moved: dict[str, float] = {}
    changes: dict[str, int] = {}
    for tensor, writer, read in conversions(precisions, graph):
        bits = writer.activation_bits + read.activation_bits
        moved[tensor] = moved.get(tensor, 0.0) + elements.get(tensor, 0) * bits / 8
        changes[tensor] = changes.get(tensor, 0) + 1
    took = dict.fromkeys(moved, 0.0)
    loose = 0.0
    for mark, milliseconds in spent.forms.items():
        name = _tensor(graph, all_layers, mark)
        index = None if mark is None or name is None else _owner(all_layers, mark, name)
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


def _owner(all_layers: Sequence[Layer], mark: NodeNumber, name: str) -> int | None:
    """Return the layer that a change of form belongs to where no precision changes."""
    if mark.kind == "tensor":
        return mark.index
    readers = (
        i for i, x in enumerate(all_layers) if name in {str(v.name) for v in x.node.inputs if v}
    )
    return next(readers, None)


def _tensor(graph: Graph, all_layers: Sequence[Layer], mark: NodeNumber | None) -> str | None:
    """Return the tensor whose form changes, by the name that it has in `conversions`."""
    if mark is None:
        return None
    if mark.kind == "input":
        return str(graph.inputs[mark.index].name) if mark.index < len(graph.inputs) else None
    return source_of(graph, str(all_layers[mark.index].output.name))


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
    """Return milliseconds per byte and per conversion: non-negative least squares, same sum."""
    rows = np.array(samples, np.float64).reshape(-1, 3)
    if not rows[:, 0].any():
        return 0.0, 0.0
    scale = rows[:, :2].max(axis=0)
    slopes = nnls(rows[:, :2] / scale, rows[:, 2])[0] / scale
    fitted = float((rows[:, :2] @ slopes).sum())
    ratio = float(rows[:, 2].sum()) / fitted if fitted else 0.0
    return float(slopes[0]) * ratio, float(slopes[1]) * ratio


def _assumptions(times: Mapping[str, Sequence[KernelTime]], device: str) -> tuple[str, ...]:
    share = min(mapped_share(kernels) for kernels in times.values())
    return (
        (
            f"Measured with the profiler of {device}: the shortest of several rounds, models in turn; "
            f"{100 * share:.1f} % of the time or more belongs to a layer or a conversion."
        ),
        (
            "A layer that a runtime computes inside another one (a sum in its convolution) takes 0 ms; "
            "conversions are fitted to the export with every second layer with weights in float."
        ),
    )

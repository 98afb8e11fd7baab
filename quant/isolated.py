"""Isolated error: only one layer quantized, the error at the network's outputs.

A session for each layer would cost minutes, and running the whole network for each layer twice the
needed work. So the layers are cut into a few runs of consecutive ones. For each run one session
holds the network from there to its end, fed with the float tensors at the cut; inside, each layer
of the run is an ONNX `If` whose branches are the float and the quantized layer, and one integer
input says whose turn it is. Only one micro-batch of activations is ever in memory.
"""

__all__ = ["isolated"]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare import Samples
from quant.graph import Graph, named_values
from quant.layers import Layer
from quant.metrics import sqnr_of_sums
from quant.opset import level_with
from quant.session import open_session
from quant.simulate import open_simulation
from quant.switch import add_switches

SEGMENTS = 6
"""More segments skip more of the prefix, and each costs a session; 6 runs 7/12 of the network."""
TURN = "quant.turn"

Array = NDArray[Any]


def isolated(
    graph: Graph,
    quantized: ir.Model,
    measured: Sequence[Layer],
    batches: Iterable[Samples],
    threads: int = 0,
) -> dict[str, float]:
    """Return for each layer the SQNR in dB at the worst network output when only it is quantized.

    Quantized are the layer's inputs that have a grid, its weight and bias, and its output if that
    is an output of the network.

    Args:
        graph: The prepared graph.
        quantized: What `quantize_graph` made of it.
        measured: Layers that are integer in the plan, in topological order.
        batches: Samples; a padded batch counts its padding, so batches must be full.
        threads: Threads inside one operator; 0 for all cores.
    """
    graph = Graph(level_with(graph.clone(), quantized), graph.name)
    segments = _segments(graph, quantized, measured, threads)
    floats = [str(v.name) for v in graph.outputs if v.dtype in (None, ir.DataType.FLOAT)]
    outputs = floats or [str(v.name) for v in graph.outputs]
    cuts = sorted({name for s in segments for name in s.cut})
    prefix = open_session(graph.with_outputs([*outputs, *cuts]), threads=threads)
    signal = np.zeros(len(outputs))
    noise = np.zeros((len(measured), len(outputs)))
    for batch in batches:
        values = dict(batch.feeds)
        fresh = [n for n in dict.fromkeys([*outputs, *cuts]) if n not in values]
        values |= dict(zip(fresh, prefix.run(fresh, dict(batch.feeds)), strict=True))
        wanted = [values[n].astype(np.float64) for n in outputs]
        finite = [np.isfinite(x) for x in wanted]
        wanted = [np.where(good, x, 0) for good, x in zip(finite, wanted, strict=True)]
        signal += [np.vdot(x, x) for x in wanted]
        for segment in segments:
            feeds = {name: values[name] for name in segment.cut}
            for offset, row in enumerate(segment.rows):
                feeds[TURN] = np.array(offset, np.int64)
                for column, got in enumerate(segment.session.run(outputs, feeds)):
                    if got.shape != wanted[column].shape:
                        noise[row, column] = np.nan
                        continue
                    error = np.where(finite[column], got, 0) - wanted[column]
                    noise[row, column] += np.vdot(error, error)
    return {layer.name: _worst(signal, row) for layer, row in zip(measured, noise, strict=True)}


def _worst(signal: Array, noise: Array) -> float:
    """Return the SQNR of the worst output that could be compared, nan when none could."""
    found = [sqnr_of_sums(float(s), float(n)) for s, n in zip(signal, noise, strict=True)]
    return min((x for x in found if not np.isnan(x)), default=float("nan"))


@dataclass(frozen=True, slots=True)
class _Segment:
    """A session from a cut to the outputs, and which rows of the result its turns are."""

    session: Any
    cut: tuple[str, ...]
    rows: range


def _segments(
    graph: Graph, model: ir.Model, measured: Sequence[Layer], threads: int
) -> list[_Segment]:
    bounds = np.linspace(0, len(measured), min(SEGMENTS, len(measured)) + 1).astype(int)
    quantized = named_values(model)
    found = []
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        run = measured[first:last]
        suffix, cut = _suffix(graph, run[0])
        add_switches(suffix, run, quantized, TURN)
        session = open_simulation(suffix, threads)
        found.append(_Segment(session, cut, range(first, last)))
    return found


def _suffix(graph: Graph, layer: Layer) -> tuple[ir.Model, tuple[str, ...]]:
    """Return the graph from a layer on, and the names of the values at the cut."""
    model = graph.clone()
    nodes = list(model.graph)
    start = next(i for i, n in enumerate(nodes) if n.name == layer.name)
    before = {id(v) for n in nodes[:start] for v in n.outputs}
    before |= {id(v) for v in model.graph.inputs if not v.is_initializer()}
    needed: dict[str, ir.Value] = {}
    for node in nodes[start:]:
        for value in _reads(node):
            if id(value) in before:
                needed[str(value.name)] = value
    for value in model.graph.outputs:
        if id(value) in before:
            needed[str(value.name)] = value
    fresh = {
        name: ir.Value(name=name, type=value.type or ir.TensorType(ir.DataType.FLOAT))
        for name, value in needed.items()
    }
    for name, value in needed.items():
        value.replace_all_uses_with(fresh[name], replace_graph_outputs=True)
        value.name = f"{name}.before"
    model.graph.remove(list(reversed(nodes[:start])))
    model.graph.inputs.clear()
    model.graph.inputs.extend(fresh.values())
    return model, tuple(fresh)


def _reads(node: ir.Node) -> list[ir.Value]:
    """Return what a node reads, inside its subgraphs too."""
    found = [v for v in node.inputs if v is not None]
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            for inner in attribute.as_graph():
                found += _reads(inner)
    return found

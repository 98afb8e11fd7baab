"""Isolated error: only one layer quantized, the error at the network's outputs.

A session for each layer would cost minutes, and running the whole network for each layer twice the
needed work. So the layers are cut into a few runs of consecutive ones. For each run one session
holds the network from there to its end, fed with the float tensors at the cut; inside, each layer
of the run is an ONNX `If` whose branches are the float and the quantized layer, and one integer
input says whose turn it is. Only one micro-batch of activations is ever in memory.
"""

__all__ = ["IsolatedError", "isolated", "isolated_errors"]

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare import Samples
from quant.graph import Graph, named_values
from quant.layers import Layer
from quant.opset import level_with
from quant.session import open_session
from quant.simulate import open_simulation
from quant.sums import Rows, Sums
from quant.switch import add_switches

SEGMENTS = 6
"""More segments skip more of the prefix, and each costs a session; 6 runs 7/12 of the network."""
TURN = "quant.turn"

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedError:
    """What one layer's quantization does at the network's outputs.

    Attributes:
        sqnr_db: At the worst output, in dB.
        by_image: float64 `[images]`, the same for each image; nan where no output has an axis of
            images.
    """

    sqnr_db: float
    by_image: NDArray[np.float64]


def isolated(
    graph: Graph,
    quantized: ir.Model,
    measured: Sequence[Layer],
    batches: Iterable[Samples],
    threads: int = 0,
) -> dict[str, float]:
    """Return `isolated_errors` over all images together."""
    found = isolated_errors(graph, quantized, measured, batches, threads)
    return {name: error.sqnr_db for name, error in found.items()}


def isolated_errors(
    graph: Graph,
    quantized: ir.Model,
    measured: Sequence[Layer],
    batches: Iterable[Samples],
    threads: int = 0,
) -> dict[str, IsolatedError]:
    """Return for each layer the SQNR in dB at the worst network output when only it is quantized.

    Quantized are the layer's inputs that have a grid, its weight and bias, and its output if that
    is an output of the network.

    Args:
        graph: The prepared graph.
        quantized: What `quantize_graph` made of it.
        measured: Layers that are integer in the plan, in topological order.
        batches: Samples; padding is not counted.
        threads: Threads inside one operator; 0 for all cores.
    """
    graph = Graph(level_with(graph.clone(), quantized), graph.name)
    segments = _segments(graph, quantized, measured, threads)
    floats = [str(v.name) for v in graph.outputs if v.dtype in (None, ir.DataType.FLOAT)]
    outputs = floats or [str(v.name) for v in graph.outputs]
    cuts = sorted({name for s in segments for name in s.cut})
    prefix = open_session(graph.with_outputs([*outputs, *cuts]), threads=threads)
    errors = [[Sums() for _ in outputs] for _ in measured]
    broken: set[tuple[int, int]] = set()
    for batch in batches:
        values = dict(batch.feeds)
        fresh = [n for n in dict.fromkeys([*outputs, *cuts]) if n not in values]
        values |= dict(zip(fresh, prefix.run(fresh, dict(batch.feeds)), strict=True))
        wanted = [values[n].astype(np.float64) for n in outputs]
        signal = [_squares(np.where(np.isfinite(x), x, 0)) for x in wanted]
        rows = Rows.of(batch)
        for segment in segments:
            feeds = {name: values[name] for name in segment.cut}
            for offset, row in enumerate(segment.rows):
                feeds[TURN] = np.array(offset, np.int64)
                for column, got in enumerate(segment.session.run(outputs, feeds)):
                    noise = _noise(wanted[column], got)
                    if not np.all(np.isfinite(noise)):
                        broken.add((row, column))
                    errors[row][column].add(signal[column], noise, rows)
    return {
        layer.name: _worst(row, [column for column in range(len(row)) if (n, column) in broken])
        for n, (layer, row) in enumerate(zip(measured, errors, strict=True))
    }


def _squares(x: Array) -> Array:
    """Return the sum of squares of each row, `[rows, 1]`."""
    flat = x.reshape(len(x) if x.ndim else 1, -1)
    squares: Array = np.einsum("ij,ij->i", flat, flat)
    return squares[:, None]


def _noise(want: Array, got: Array) -> Array:
    """Return the squares of a difference; nan for shapes that differ, as for boxes of any number."""
    if got.shape != want.shape:
        return np.full((len(want) if want.ndim else 1, 1), np.nan)
    return _squares(np.where(np.isfinite(want), got - np.where(np.isfinite(want), want, 0), 0))


def _worst(errors: Sequence[Sums], broken: Sequence[int]) -> IsolatedError:
    """Return the error at the worst output that could be compared, nan when none could."""
    known = [e for column, e in enumerate(errors) if column not in broken]
    every = [e.sqnr_db for e in known if not np.isnan(e.sqnr_db)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an image that no output tells apart
        nothing = np.full(errors[0].by_image.shape, np.nan)
        by_image = np.nanmin([nothing, *(e.by_image for e in known)], axis=0)
    return IsolatedError(sqnr_db=min(every, default=float("nan")), by_image=by_image)


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

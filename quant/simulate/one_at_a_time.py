"""Quantize one layer or group at a time in an otherwise float network, in one session.

A session for each set would cost minutes, and running the whole network for each twice the needed
work. So the turns are cut into a few runs of consecutive ones. For each run one session holds the
network from there to its end, fed with the float tensors at the cut; inside, each layer is an ONNX
`If` between its float and its quantized forms, and one integer input says whose turn it is. Only
one micro-batch of activations is ever in memory.
"""

__all__ = ["OneAtATime", "QuantizedSet"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.graph.layer import Layer
from quant.graph.opset import at_opset, level_with
from quant.graph.prepared_graph import Graph, named_values
from quant.graph.session import open_session, open_simulation
from quant.simulate.layer_switch import Switch, TensorSwitch, add_switches

SEGMENTS = 6, 24
"""Least and most: more segments skip more of the prefix and have fewer switches in each, which keep
ONNX Runtime from its fastest layout; and each costs a session. 6 run 7/12 of the network."""

TURNS_PER_SEGMENT = 4
"""Turns that make one segment more worth its session."""

MAX_WEIGHT_BYTES = 2**30
"""Bytes of weights that all sessions may hold: each has those behind its cut."""

TURN = "quant.turn"

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedSet:
    """One turn: what is quantized together, all else being float.

    Attributes:
        layers: In topological order.
        version: Number of the quantized graph that they are taken from, from 0.
        tensors: Tensors that are quantized for all their readers. No layer of any turn
            quantizes such a tensor by itself.
    """

    layers: tuple[Layer, ...] = ()
    version: int = 0
    tensors: tuple[str, ...] = ()


class OneAtATime:
    """Sessions that answer for each turn.

    Quantized are a layer's inputs that have a grid, its weight and bias, and its output if that is
    an output of the network.

    Args:
        graph: The prepared graph.
        versions: What `quantize_graph` made of it for one plan or several.
        turns: Each with a layer or a tensor; those that stand first in the graph cost most.
        threads: Threads inside one operator; 0 for all cores.

    Attributes:
        outputs: Names of the outputs that answer: the floats, or all where none is.
    """

    def __init__(
        self,
        graph: Graph,
        versions: Sequence[ir.Model],
        turns: Sequence[QuantizedSet],
        threads: int = 0,
    ) -> None:
        opset = max(m.opset_imports.get("", 0) for m in versions)
        raised = [at_opset(m, opset, "plan") for m in versions]
        model = graph.clone()
        for version in raised:
            model = level_with(model, version)
        graph = Graph(model, graph.name)
        floats = [str(v.name) for v in graph.outputs if v.dtype in (None, ir.DataType.FLOAT)]
        self.outputs = floats or [str(v.name) for v in graph.outputs]
        self._segments = _segments(graph, raised, turns, threads)
        self._cuts = sorted({name for s in self._segments for name in s.cut})
        names = [*self.outputs, *self._cuts]
        self._prefix = open_session(graph.with_outputs(names), threads=threads)

    def answers(
        self, feeds: Mapping[str, Array]
    ) -> tuple[list[Array], Iterator[tuple[int, list[Array]]]]:
        """Return the float outputs, and for each turn its number and its outputs, in any order."""
        values = dict(feeds)
        fresh = [n for n in dict.fromkeys([*self.outputs, *self._cuts]) if n not in values]
        values |= dict(zip(fresh, self._prefix.run(fresh, dict(feeds)), strict=True))
        return [values[name] for name in self.outputs], self._turned(values)

    def _turned(self, values: Mapping[str, Array]) -> Iterator[tuple[int, list[Array]]]:
        for segment in self._segments:
            fed = {name: values[name] for name in segment.cut}
            for offset, number in enumerate(segment.numbers):
                fed[TURN] = np.array(offset, np.int64)
                yield number, segment.session.run(self.outputs, fed)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A session from a cut to the outputs, and which turns are its own."""

    session: Any
    cut: tuple[str, ...]
    numbers: tuple[int, ...]


def _segments(
    graph: Graph, versions: Sequence[ir.Model], turns: Sequence[QuantizedSet], threads: int
) -> list[_Segment]:
    place = {str(node.name): index for index, node in enumerate(graph.nodes)}
    starts = [_start(graph, turn, place) for turn in turns]
    order = sorted(range(len(turns)), key=lambda i: starts[i])
    apart = sorted({name for turn in turns for name in turn.tensors})
    count = min(_count(graph, len(order)), len(order))
    bounds = np.linspace(0, len(order), count + 1).astype(int)
    quantized = [named_values(model) for model in versions]
    segments = []
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        numbers = tuple(order[first:last])
        suffix, cut = _suffix(graph, starts[numbers[0]])
        own = [turns[i] for i in numbers]
        tensors = _tensor_switches(own, quantized, apart, named_values(suffix))
        add_switches(suffix, _switches(own, quantized, place), TURN, tensors)
        segments.append(_Segment(open_simulation(suffix, threads), cut, numbers))
    return segments


def _count(graph: Graph, turns: int) -> int:
    """Return how many segments the turns are cut into."""
    weights = sum(
        v.const_value.nbytes for v in graph.model.graph.initializers.values() if v.const_value
    )
    least, most = SEGMENTS
    return max(
        least, min(most, turns // TURNS_PER_SEGMENT, 2 * MAX_WEIGHT_BYTES // max(weights, 1))
    )


def _start(graph: Graph, turn: QuantizedSet, place: Mapping[str, int]) -> int:
    """Return the position of the first node that sees something of a turn."""
    positions = [place[layer.name] for layer in turn.layers]
    for name in turn.tensors:
        positions += [place.get(str(use.node.name), 0) for use in graph.values[name].uses()]
        positions += [len(place) - 1] if graph.values[name].is_graph_output() else []
    return min(positions, default=0)


def _tensor_switches(
    turns: Sequence[QuantizedSet],
    versions: Sequence[Mapping[str, ir.Value]],
    apart: Sequence[str],
    values: Mapping[str, ir.Value],
) -> list[TensorSwitch]:
    """Return a switch for each tensor that stands apart, in the order of their names."""
    switches = []
    for name in apart:
        if name not in values:
            continue
        used = sorted({turn.version for turn in turns if name in turn.tensors})
        table = [used.index(t.version) + 1 if name in t.tensors else 0 for t in turns]
        switches.append(
            TensorSwitch(tensor=name, versions=[versions[v] for v in used], table=tuple(table))
        )
    return switches


def _switches(
    turns: Sequence[QuantizedSet],
    versions: Sequence[Mapping[str, ir.Value]],
    place: Mapping[str, int],
) -> list[Switch]:
    """Return a switch for each layer that some turn quantizes."""
    layers = {layer.name: layer for turn in turns for layer in turn.layers}
    tables = {name: [0] * len(turns) for name in layers}
    used: dict[str, list[int]] = {name: [] for name in layers}
    for number, turn in enumerate(turns):
        for layer in turn.layers:
            own = used[layer.name]
            if turn.version not in own:
                own.append(turn.version)
            tables[layer.name][number] = own.index(turn.version) + 1
    return [
        Switch(
            layer=layers[name],
            versions=[versions[v] for v in used[name]],
            table=tuple(tables[name]),
        )
        for name in sorted(layers, key=lambda name: place[name])
    ]


def _suffix(graph: Graph, start: int) -> tuple[ir.Model, tuple[str, ...]]:
    """Return the graph from a node on, and the names of the values at the cut."""
    model = graph.clone()
    nodes = list(model.graph)
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
    values = [v for v in node.inputs if v is not None]
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            for inner in attribute.as_graph():
                values += _reads(inner)
    return values

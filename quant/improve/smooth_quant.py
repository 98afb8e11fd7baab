"""SmoothQuant: channels that are large for every sample hand their range to the weights.

Behind the LayerNorm of a transformer a few channels are tens of times as large as the others, and
one scale for the tensor leaves these few steps. For any s_c > 0,

    (X / s) (s W)  =  X W        s_c = max|X_c|^a / max|W_c|^(1 - a)

with X divided where it is made, in the LayerNorm's own scale and bias, so that nothing is added to
the network. Source: Xiao et al. 2023, "SmoothQuant", equations 3 and 4. Ours is that `a` is chosen
for each place by the error of the layers that read it, and that the channels are followed through
all that commutes with s (`quant/improve/channel_routes.py`): windows, heads, Relu, the mixing by attention.

The new profile is of fewer samples than the first, for nothing may be learned from held-out ones.
So tensors and weights that did not change keep their grids, and the step is judged by the others.
"""

__all__ = ["SmoothingSite", "kept_where_same", "scaled", "sites", "smooth"]

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.compare.float_reference import FloatReference
from quant.graph.edit import add_constant
from quant.graph.layers import data_input, optional_input, source_of
from quant.graph.prepared_graph import Graph, weight_of
from quant.improve.channel_routes import Edits, Reader, Route, follow
from quant.improve.channel_views import Ids
from quant.improve.smooth_factors import ReaderOnGrids, factors, reader_statistics
from quant.plan.tensor_plans import Plan, TensorPlan
from quant.target.table import Target

F64 = NDArray[np.float64]


NORMS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
"""The last is ONNX Runtime's name for the second, in the domain com.microsoft."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothingSite:
    """A place where channels are made that layers with constant weights read.

    Attributes:
        node: What makes them: a normalization, a product with a constant, or a layer.
        count: The number of channels.
        constants: By node name and input the constants that make them, with the channels along the axes.
        route: Where they go.
    """

    node: ir.Node
    count: int
    constants: Edits
    route: Route


def smooth(
    graph: Graph,
    plan: Plan,
    target: Target,
    reference: FloatReference,
    places: Sequence[SmoothingSite],
) -> Graph | None:
    """Return the graph with smoothed channels; None where no place gains by it.

    Args:
        graph: The prepared graph.
        plan: The graph's plan: which layers compute on grids, and on which.
        target: The table.
        reference: The batches that the channels' extremes and the errors are measured on.
        places: Places of the graph, from `sites`.
    """
    places = [site for site in places if _read_on_grids(site, plan)]
    if not places:
        return None
    readers = [reader for site in places for reader in site.route.readers]
    statistics = reader_statistics(graph, readers, reference)
    moved = []
    for site in places:
        on_grids = [
            ReaderOnGrids(graph, plan, target, reader, statistics[reader.tensor])
            for reader in site.route.readers
        ]
        s = factors(on_grids, site.route.stuck, site.count)
        if s is not None:
            moved.append((site, s))
    return scaled(graph, moved) if moved else None


def scaled(graph: Graph, moved: Iterable[tuple[SmoothingSite, F64]]) -> Graph:
    """Return the graph with channels divided by s where they are made, and multiplied where read.

    Args:
        graph: The prepared graph.
        moved: Places and float64 `[C]`, s above 0 of each channel; 1 for those that are stuck.
    """
    arrays: dict[tuple[str, int], F64] = {}
    nodes = {str(n.name): n for n in graph.nodes}
    for site, s in moved:
        for (name, index), ids in {**site.constants, **site.route.added}.items():
            _times(graph, nodes[name], index, arrays, 1 / s[ids])
        for reader in site.route.readers:
            _times(graph, reader.node, 1, arrays, _rows(reader, s))
    return _written(graph, arrays)


def sites(graph: Graph, *, linear: bool = False, off: Collection[str] = ()) -> list[SmoothingSite]:
    """Return the places in topological order; no layer reads at two of them.

    Args:
        graph: The prepared graph.
        linear: Where a MatMul or Gemm makes the channels, and not a normalization or a product with
            a constant.
        off: Names of nodes that stay as they are, as makers of channels and as readers.
    """
    claimed: set[str] = set()
    places = []
    for node in graph.nodes:
        for value, ids, constants in _makers(node, linear):
            route = follow(graph, value, ids)
            names = {str(reader.node.name) for reader in route.readers}
            free = len(route.stuck) < ids.size and not names & claimed
            if names and free:
                claimed |= names
                if not (names | {str(node.name)}) & set(off):
                    site = SmoothingSite(
                        node=node, count=ids.size, constants=constants, route=route
                    )
                    places.append(site)
    return places


def _read_on_grids(site: SmoothingSite, plan: Plan) -> bool:
    """Return whether a layer on a grid reads the channels."""
    names = {str(reader.node.name) for reader in site.route.readers}
    return any(name in plan.layers and plan.layers[name].quantized for name in names)


def _makers(node: ir.Node, linear: bool) -> Iterator[tuple[ir.Value, Ids, Edits]]:
    """Yield what a node makes channels of: the tensor, its channels, and the constants."""
    name, value = str(node.name), node.outputs[0] if node.outputs else None
    if value is None or value.shape is None:
        return
    rank = len(value.shape)
    if node.op_type in NORMS and rank > 1 and not linear:
        axis = node.attributes.get_int("axis", -1)
        shapes = [_constant(v) or () for v in node.inputs[1:] if v is not None]
        if shapes and axis in (-1, rank - 1) and all(len(shape) == 1 for shape in shapes):
            count = shapes[0][0]
            along = np.arange(count)
            constants = {(name, i): along for i, v in enumerate(node.inputs) if i and v is not None}
            yield value, along.reshape([1] * (rank - 1) + [count]), constants
    elif node.op_type == "Mul" and not linear:
        for index in (0, 1):
            shape = _constant(node.inputs[index])
            if shape is None or len(shape) > rank:
                continue
            whole = [1] * (rank - len(shape)) + list(shape)
            axes = [a for a, n in enumerate(whole) if n > 1]
            if len(axes) == 1 and value.shape[axes[0]] == whole[axes[0]]:
                ids = np.arange(whole[axes[0]]).reshape(whole)
                yield value, ids, {(name, index): ids}
    elif linear and rank > 1:
        yield from _layer(node, value, rank)


def _layer(node: ir.Node, value: ir.Value, rank: int) -> Iterator[tuple[ir.Value, Ids, Edits]]:
    """Yield the outputs of a MatMul or Gemm with a weight and bias of its own."""
    weight = weight_of(node)
    if weight is None or node.op_type not in ("MatMul", "Gemm") or len(weight.uses()) != 1:
        return
    shape = _constant(weight) or ()
    bias = optional_input(node, 2)
    if len(shape) != 2 or (bias is not None and _constant(bias) is None):
        return
    transposed = bool(node.attributes.get_int("transB", 0))
    along = np.arange(shape[0 if transposed else 1])
    if along.size < 2:
        return
    name = str(node.name)
    constants = {(name, 1): along[:, None] if transposed else along[None]}
    if bias is not None:
        constants[name, 2] = along
    yield value, along.reshape([1] * (rank - 1) + [-1]), constants


def _constant(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the shape of a constant, or None."""
    constant = value.const_value if value is not None and value.is_initializer() else None
    return tuple(int(n) for n in constant.shape) if constant is not None else None  # type: ignore[arg-type]


def _rows(reader: Reader, s: F64) -> F64:
    """Return the factors of a reader's inputs in a shape that multiplies its weight."""
    if reader.node.op_type == "Conv":
        rank = len(data_input(reader.node, 1).shape or ())
        return s[reader.ids].reshape([1, -1, *[1] * (rank - 2)])
    transposed = reader.node.op_type == "Gemm" and reader.node.attributes.get_int("transB", 0) == 1
    return s[reader.ids].reshape([1, -1] if transposed else [-1, 1])


def _times(
    graph: Graph, node: ir.Node, index: int, arrays: dict[tuple[str, int], F64], by: F64
) -> None:
    key = (str(node.name), index)
    array = arrays.get(key)
    if array is None:
        array = graph.array(str(data_input(node, index).name)).astype(np.float64)
    arrays[key] = array * by


def _written(graph: Graph, arrays: dict[tuple[str, int], F64]) -> Graph:
    """Return the graph with these constants; one that other nodes read too stays for them."""
    model = graph.clone()
    initializers = model.graph.initializers
    for node in model.graph:
        for index, old in enumerate(node.inputs):
            array = arrays.get((str(node.name), index))
            if array is None or old is None:
                continue
            name = str(old.name)
            if len(old.uses()) > 1 or old.is_graph_output():
                while name in initializers:
                    name = f"{name}_smoothed"
            fresh = np.ascontiguousarray(array, np.float32)
            if name == old.name:
                old.const_value, old.shape = ir.tensor(fresh, name=name), ir.Shape(array.shape)
                continue
            node.replace_input_with(index, add_constant(model.graph, name, fresh))
    return replace(graph, model=model)


def kept_where_same(
    before: Graph, old: Plan, after: Graph, new: Plan, moved: Collection[str]
) -> Plan:
    """Return the new plan with the old grids of tensors and weights that are as they were.

    Args:
        before: The graph.
        old: Its plan.
        after: The smoothed graph, of the same nodes and tensors.
        new: Its plan, chosen anew.
        moved: Names of tensors whose numbers may have changed; views of them count too.
    """
    sources = {source_of(before, name) for name in moved}
    nodes = {str(n.name): n for n in after.nodes}
    firsts = before.model.graph.initializers

    def same(tensor: TensorPlan) -> bool:
        if tensor.kind == "activation":
            return source_of(before, tensor.tensor) not in sources
        value = after.model.graph.initializers[tensor.tensor]
        kept = firsts.get(tensor.tensor)
        return kept is not None and kept.const_value is value.const_value

    def unchanged(layer: str) -> bool:
        """Return whether the inputs and the weight of a layer are as they were."""
        inputs = [v for v in nodes[layer].inputs if v is not None]
        return all(
            value.const_value is firsts[str(value.name)].const_value
            if value.is_initializer() and str(value.name) in firsts
            else not value.is_initializer() and source_of(after, str(value.name)) not in sources
            for value in inputs
        )

    tensors = {}
    for key, tensor in new.tensors.items():
        kept = old.tensors.get(key)
        alike = kept is not None and (kept.tensor, kept.readers) == (
            tensor.tensor,
            tensor.readers,
        )
        tensors[key] = kept if kept is not None and alike and same(tensor) else tensor
    shifts = {k: v for k, v in new.bias_shifts.items() if not unchanged(k)}
    shifts |= {k: v for k, v in old.bias_shifts.items() if unchanged(k)}
    return replace(new, tensors=tensors, bias_shifts=shifts)

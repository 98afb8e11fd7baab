"""Where a factor on each channel of a tensor goes, and which layers can take it back.

A network computes the same when channel c of a tensor is divided by s_c > 0 and every layer that
reads it has its weight multiplied by s_c, as long as what lies between commutes with the factor:
views, slices, means over other axes, Relu, a product with a constant or with other data, the
product of the attention with its values. A constant that is added on the way is divided, too.

Each channel has a number. An array of the numbers, with length 1 along the axes that do not tell
channels apart, goes through the graph as the tensor does; channels that come to a node which does
not commute are `stuck`, and keep s = 1.
"""

__all__ = ["Edits", "Reader", "Route", "follow"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from quant.graph.layers import data_input
from quant.graph.prepared_graph import Graph, weight_of
from quant.improve.channel_views import Ids, passed_through

Edits: TypeAlias = dict[tuple[str, int], Ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A layer whose weight takes the factors back.

    Attributes:
        node: A MatMul, a Gemm, or a Conv of one pixel without groups; its weight is its own.
        ids: int64 `[K]`, the channel of each of its inputs.
    """

    node: ir.Node
    ids: Ids

    @property
    def tensor(self) -> str:
        """The name of the tensor that it reads."""
        return str(data_input(self.node, 0).name)


@dataclass(slots=True)
class Route:
    """Where the channels of a tensor went.

    Attributes:
        readers: The layers that read them.
        added: By node name and input the constants on the way to divide, with the channels along
            their axes.
        stuck: Numbers of channels that cannot have a factor.
        passed: Names of the tensors that they went through.
    """

    readers: list[Reader] = field(default_factory=list)
    added: Edits = field(default_factory=dict)
    stuck: set[int] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)


def follow(graph: Graph, value: ir.Value, ids: Ids) -> Route:
    """Follow the channels of a tensor to all that reads them.

    Args:
        graph: The prepared graph.
        value: The tensor.
        ids: int64 of its rank, the channels' numbers; length 1 along other axes.
    """
    route, ids_of = Route(), {value: ids}
    for node in graph.nodes:
        inputs = {i: ids_of[v] for i, v in enumerate(node.inputs) if v is not None and v in ids_of}
        if not inputs:
            continue
        outputs = _step(node, inputs, route)
        if outputs is None:
            for channels in inputs.values():
                route.stuck.update(channels.reshape(-1).tolist())
        else:
            ids_of.update(outputs)
    route.passed.update(str(reached.name) for reached in ids_of)
    for reached, channels in ids_of.items():
        inner = any(use.node.graph is not graph.model.graph for use in reached.uses())
        if reached.is_graph_output() or inner:
            route.stuck.update(channels.reshape(-1).tolist())
    return route


def _step(node: ir.Node, inputs: Mapping[int, Ids], route: Route) -> dict[ir.Value, Ids] | None:
    """Return the channels of a node's outputs; none for a reader; None where they are stuck."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if weight_of(node) is not None:
        return _read(node, inputs, route)
    if node.op_type in ("Add", "Sub"):
        return _added(node, inputs, route)
    if node.op_type in ("Mul", "Div"):
        return _scaled(node, inputs)
    if node.op_type == "MatMul":
        return _mixed(node, inputs)
    return passed_through(node, inputs)


def _read(node: ir.Node, inputs: Mapping[int, Ids], route: Route) -> dict[ir.Value, Ids] | None:
    """Note a layer that takes the factors back, where its weight is its own."""
    weight = weight_of(node)
    if set(inputs) != {0} or weight is None or len(weight.uses()) != 1 or weight.shape is None:
        return None
    ids, rank = inputs[0], len(weight.shape)
    axis = 1 if node.op_type == "Conv" else ids.ndim - 1
    if ids.size != ids.shape[axis]:
        return None
    shape = weight.shape.numpy()
    if node.op_type == "Conv":
        groups = node.attributes.get_int("group", 1)
        fits = groups == 1 and prod(shape[2:]) == 1 and shape[1] == ids.size
    elif node.op_type == "Gemm":
        transposed = node.attributes.get_int("transB", 0)
        fits = (
            not node.attributes.get_int("transA", 0) and shape[1 if transposed else 0] == ids.size
        )
    else:
        fits = node.op_type == "MatMul" and rank == 2 and shape[0] == ids.size
    if not fits:
        return None
    route.readers.append(Reader(node=node, ids=ids.reshape(-1)))
    return {}


def _added(node: ir.Node, inputs: Mapping[int, Ids], route: Route) -> dict[ir.Value, Ids] | None:
    """A constant that is added is divided with its channels; a sum of two alike commutes."""
    if len(inputs) == 2:
        return {node.outputs[0]: inputs[0]} if np.array_equal(inputs[0], inputs[1]) else None
    ((index, ids),) = inputs.items()
    other = node.inputs[1 - index]
    constant = other.const_value if other is not None and other.is_initializer() else None
    if constant is None or len(constant.shape) > ids.ndim:
        return None
    route.added[str(node.name), 1 - index] = ids
    return {node.outputs[0]: ids}


def _scaled(node: ir.Node, inputs: Mapping[int, Ids]) -> dict[ir.Value, Ids] | None:
    """One factor of a product, or the numerator, may carry the channels."""
    index, ids = next(iter(inputs.items()))
    shape = node.outputs[0].shape
    if len(inputs) != 1 or (node.op_type == "Div" and index != 0) or shape is None:
        return None
    return {node.outputs[0]: ids} if len(shape) == ids.ndim else None


def _mixed(node: ir.Node, inputs: Mapping[int, Ids]) -> dict[ir.Value, Ids] | None:
    """Values that attention mixes keep their channels: of the second operand all but the rows."""
    if set(inputs) != {1} or inputs[1].ndim < 2 or inputs[1].shape[-2] != 1:
        return None
    shape = node.outputs[0].shape
    return (
        {node.outputs[0]: inputs[1]} if shape is not None and len(shape) == inputs[1].ndim else None
    )

"""Decide which nodes of a quantized graph compute in float16, from plan and neighbours."""

__all__ = ["DATA_MOVERS", "float16_scale", "formal_types", "node_types"]

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.formats.precision import Precision
from quant.graph.layers import VIEWS
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan

F16, F32 = ir.DataType.FLOAT16, ir.DataType.FLOAT
Q, DQ = "QuantizeLinear", "DequantizeLinear"

DATA_MOVERS = VIEWS | {"MaxPool", "Slice", "Split", "Gather", "DepthToSpace", "SpaceToDepth"}
"""Operators whose output holds only numbers of their first input, in any type."""

MAX_ROUNDING = 2.0**-9
"""Relative change of a scale that is allowed in float16: four half units in the last place."""


FLOAT16_MAX = float(np.finfo(np.float16).max)


def float16_scale(scale: NDArray[Any]) -> NDArray[Any] | None:
    """Return the float16 of a scale, or None if one of its numbers changes by more than 2**-9."""
    wide = scale.astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        small: NDArray[Any] = scale.astype(np.float16)
    is_close = np.abs(small.astype(np.float64) - wide) <= MAX_ROUNDING * wide
    return small if bool(np.all(is_close & (small > 0))) else None


def formal_types(node: ir.Node, version: int) -> tuple[list[str | None], list[str | None]]:
    """Return each input's and output's type variable in the schema if it may be float16, or None."""
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, version):
        return [None] * len(node.inputs), [None] * len(node.outputs)
    schema = onnx.defs.get_schema(node.op_type, version, "")
    small = {
        c.type_param_str
        for c in schema.type_constraints
        if "tensor(float16)" in c.allowed_type_strs
    }
    return (
        _actual_types([p.type_str for p in schema.inputs], len(node.inputs), small),
        _actual_types([p.type_str for p in schema.outputs], len(node.outputs), small),
    )


def _actual_types(formal: list[str], count: int, small: set[str]) -> list[str | None]:
    """Return the variables of `count` actual values; the last formal one may repeat."""
    variables = [name if name in small else None for name in formal] or [None]
    return [variables[min(i, len(variables) - 1)] for i in range(count)]


def node_types(model: ir.Model, plan: Plan, graph: Graph) -> dict[ir.Node, ir.DataType]:
    """Return float16 or float32 for every node of the main graph that is no quantizer.

    Raises:
        UnsupportedError: A float16 layer's operator has no float16 form.
    """
    planned = {}
    for layer in graph.layers:
        decided = plan.layers.get(layer.name)
        for node in (layer.node, layer.activation):
            if node is not None and decided is not None:
                planned[str(node.name)] = decided.precision
    types = _TypeChoice(model, planned)
    return types.decide()


class _TypeChoice:
    """Types of the nodes: fixed for float layers, one for each connected set of integer layers."""

    def __init__(self, model: ir.Model, planned: dict[str, Precision]) -> None:
        self.model, self.planned = model, planned
        self.version = model.graph.opset_imports.get("", 0)
        self.types: dict[ir.Node, ir.DataType] = {}
        self.flexible: set[ir.Node] = set()
        self.parent: dict[ir.Node, ir.Node] = {}

    def decide(self) -> dict[ir.Node, ir.DataType]:
        nodes = [n for n in self.model.graph if n.op_type not in (Q, DQ)]
        for node in nodes:
            self._fix_type(node)
        for node in nodes:
            if node in self.flexible:
                self._join_readers(node)
        neighbours = self._neighbour_types()
        for node in nodes:
            if node in self.flexible:
                self.types[node] = F16 if neighbours[self._root(node)] == {F16} else F32
            elif node not in self.types:
                self.types[node] = self._type_of_source(node)
        return self.types

    def _fix_type(self, node: ir.Node) -> None:
        precision = self.planned.get(str(node.name), Precision.FLOAT32)
        producer = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        if node.op_type in DATA_MOVERS and not precision.quantized:
            if producer is not None and producer.op_type == DQ:
                self.flexible.add(node)  # in fact it moves integers
            elif producer is None:
                self.types[node] = F32
        elif precision is Precision.FLOAT16:
            if not any(formal_types(node, self.version)[0]):
                raise UnsupportedError(
                    f"plan: layer '{node.name}' is float16, and {node.op_type} has no float16 form "
                    f"in opset {self.version}. Give it float32."
                )
            self.types[node] = F16
        elif precision is Precision.FLOAT32:
            self.types[node] = F32
        else:
            self.flexible.add(node)
        self.parent[node] = node

    def _root(self, node: ir.Node) -> ir.Node:
        while self.parent[node] is not node:
            node = self.parent[node]
        return node

    def _type_of_source(self, node: ir.Node) -> ir.DataType:
        """Return the type of the tensor that a data mover reads."""
        producer = node.inputs[0].producer() if node.inputs[0] is not None else None
        return self.types.get(producer, F32) if producer is not None else F32

    def _float_readers(self, value: ir.Value) -> Iterator[ir.Node | None]:
        """Yield the float readers of a value, past movers; None for an output or a subgraph."""
        if value.is_graph_output():
            yield None
        for use in value.uses():
            node = use.node
            if node.graph is not self.model.graph:
                yield None
            elif (
                node.op_type in DATA_MOVERS and node not in self.flexible and node not in self.types
            ):
                for output in node.outputs:
                    yield from self._float_readers(output)
            elif node.op_type != Q:
                yield node

    def _join_readers(self, node: ir.Node) -> None:
        for output in node.outputs:
            for reader in self._float_readers(output):
                if reader in self.flexible and reader is not None:
                    self.parent[self._root(reader)] = self._root(node)

    def _neighbour_types(self) -> dict[ir.Node, set[ir.DataType]]:
        """Return the types of the float neighbours of each set of integer layers."""
        neighbours: dict[ir.Node, set[ir.DataType]] = {self._root(n): set() for n in self.flexible}
        for node in self.flexible:
            root = self._root(node)
            for output in node.outputs:
                readers = list(self._float_readers(output))
                neighbours[root] |= {
                    F32 if reader is None else self.types[reader]
                    for reader in readers
                    if reader not in self.flexible
                }
            for value in node.inputs:
                producer = self._source(value)
                if producer is not None and producer.op_type == DQ:
                    scale = ir.convenience.get_const_tensor(producer.inputs[1])  # type: ignore[arg-type]
                    if scale is None or float16_scale(scale.numpy()) is None:
                        neighbours[root].add(F32)
                elif producer is not None and producer in self.types:
                    neighbours[root].add(self.types[producer])
                elif producer is None and value is not None and self._is_wide(value):
                    neighbours[root].add(F32)
            if not any(formal_types(node, self.version)[0]):
                neighbours[root].add(F32)
        return neighbours

    def _is_wide(self, value: ir.Value) -> bool:
        """Return whether a value is the network's input, or a constant that float16 cannot hold."""
        if value.const_value is None:
            return not value.is_initializer()
        array = value.const_value.numpy()
        return value.dtype == F32 and bool(array.size) and bool(np.abs(array).max() > FLOAT16_MAX)

    def _source(self, value: ir.Value | None) -> ir.Node | None:
        """Return the node that computes a value, past data movers."""
        node = value.producer() if value is not None else None
        while node is not None and node.op_type in DATA_MOVERS and node not in self.flexible:
            if node in self.types:
                return node
            node = node.inputs[0].producer() if node.inputs[0] is not None else None
        return node

"""Convert a graph node by node, and collect what cannot be said in NNIE's Caffe."""

__all__ = ["CONVERTERS", "NOBODY", "NOTHING", "Wishes", "build"]

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.export.caffe.limits import check_limits
from quant.export.caffe.network.blob import (
    Blob,
    Refusal,
    Shape,
    constant,
    finding,
    lifted,
    shape_of,
)
from quant.export.caffe.network.net import Net
from quant.export.caffe.network.read import read
from quant.export.caffe.operators.activation import ACTIVATIONS
from quant.export.caffe.operators.arithmetic import ARITHMETIC
from quant.export.caffe.operators.conv import conv, conv_transpose
from quant.export.caffe.operators.dense import DENSE
from quant.export.caffe.operators.layout import LAYOUT
from quant.export.caffe.operators.pool import POOLS
from quant.export.caffe.operators.reduce import REDUCTIONS
from quant.export.caffe.operators.resize import RESIZES
from quant.export.caffe.operators.slice import SLICES
from quant.graph.fixed_shapes import with_fixed_shapes
from quant.graph.prepared_graph import Graph
from quant.target.finding import Finding

CONVERTERS: dict[str, Any] = {
    **ACTIVATIONS,
    **ARITHMETIC,
    **DENSE,
    **LAYOUT,
    **POOLS,
    **REDUCTIONS,
    **RESIZES,
    **SLICES,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
}
"""By ONNX operator, what writes its layers."""

BATCH_NORM = "Use BatchNormalization instead and train again."
MENDS: dict[str, str] = {
    **dict.fromkeys(("Gelu", "Erf", "Softplus", "Mish"), "Use Relu instead and train again."),
    "GroupNormalization": BATCH_NORM,
    "InstanceNormalization": BATCH_NORM,
    "LayerNormalization": BATCH_NORM,
}
CUT = "Cut the network before this node and compute the rest on the CPU."

NOTHING: Mapping[str, Any] = MappingProxyType({})
NOBODY: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `convert` was asked for besides the graph; see there."""

    high: AbstractSet[str] = NOBODY
    shifts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    custom: AbstractSet[str] = NOBODY
    factors: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    swapped: AbstractSet[str] = NOBODY
    report: AbstractSet[str] = NOBODY


def build(
    graph: Graph, sizes: Mapping[str, Shape], wishes: Wishes
) -> tuple[Net, ir.Model, list[Finding]]:
    """Return the network as far as it can be written, the graph with its sizes, and what cannot."""
    model = with_fixed_shapes(graph, sizes)
    _report(graph, model, wishes.report)
    net = Net(wishes.high, wishes.shifts)
    found = []
    for value in model.graph.inputs:
        if value.is_initializer():
            continue
        try:
            _input(net, value, wishes)
        except Refusal as refusal:
            found.append(finding(refusal, f"input '{value.name}'"))
    if found:  # of what lies behind, nothing can be told
        return net, model, found
    for node in model.graph:
        net.node, mark = node, net.mark()
        try:
            _convert(net, node, wishes)
        except Refusal as refusal:
            net.undo(mark)
            found.append(finding(refusal, f"node '{node.name}'", str(node.name)))
            _stand_in(net, node)
    net.node = None
    return net, model, found


def _report(graph: Graph, model: ir.Model, names: AbstractSet[str]) -> None:
    """Make inner tensors outputs as well, so that no layer writes in their place."""
    made = {str(v.name): v for node in model.graph for v in node.outputs}
    for name in sorted(names):
        if name not in made:
            raise InputError(
                f"{graph.source or graph.name}: a reported tensor must be made by a layer, and "
                f"'{name}' is not. Report another one."
            )
        if not made[name].is_graph_output():
            model.graph.outputs.append(made[name])


def _input(net: Net, value: ir.Value, wishes: Wishes) -> None:
    """Write an input; one of [1, H, W, C] that is only transposed becomes [1, C, H, W]."""
    shape = shape_of(value)
    if not shape or shape[0] != 1:
        raise Refusal(2, f"shape {list(shape)}", "batch 1", "Export the model with batch 1.")
    readers = [use.node for use in value.uses()]
    planar = bool(readers) and all(_to_planar(n) for n in readers)
    if planar:
        shape = (1, shape[3], *shape[1:3])
        net.planar.add(str(value.name))
    held = net.input(value, shape if len(shape) in (2, 4) else lifted(shape))
    name = str(value.name)
    blob = Blob(
        held.name, held.shape, factor=wishes.factors.get(name), swapped=name in wishes.swapped
    )
    for seen in [value, *(n.outputs[0] for n in readers if planar)]:
        net.bind(seen, blob)


def _to_planar(node: ir.Node) -> bool:
    """Return whether a node brings [N, H, W, C] to [N, C, H, W]."""
    perm = list(node.attributes.get_ints("perm", []))
    return node.op_type == "Transpose" and perm == [0, 3, 1, 2]


def _convert(net: Net, node: ir.Node, wishes: Wishes) -> None:
    """Write a node's layers, within NNIE's limits."""
    before = len(net.layers)
    if node.name in wishes.custom:
        _custom(net, node)
    elif node.op_type == "Transpose" and net.has(node.outputs[0]):
        return  # the input does it
    elif node.domain not in ("", "ai.onnx") or node.op_type not in CONVERTERS:
        name = f"{node.domain}.{node.op_type}".lstrip(".")
        raise Refusal(
            1, f"operator {name}", "an operator that Caffe has", MENDS.get(node.op_type, CUT)
        )
    else:
        CONVERTERS[node.op_type](net, node)
    for layer in net.layers[before:]:
        check_limits(layer, net.shapes)


def _custom(net: Net, node: ir.Node) -> None:
    """Write a Custom layer, which the host computes: only its results' shapes are told."""
    bottoms = [
        read(net, v, lifted(shape_of(v)))
        for v in node.inputs
        if v is not None and constant(v) is None
    ]
    made = [v for v in node.outputs if v.name]
    shapes = [lifted(shape_of(v)) for v in made]
    layer, blob = net.add("Custom", bottoms, shapes[0])
    for value, top in zip(
        made, [blob] if len(made) == 1 else net.spread(layer, shapes), strict=True
    ):
        net.bind(value, top)
        layer.custom_param.shape.add().dim.extend(top.shape)


def _stand_in(net: Net, node: ir.Node) -> None:
    """Give a refused node's results blobs of their shapes, so that what follows is still read."""
    for value in node.outputs:
        shape: list[Any] = list(value.shape) if value.shape is not None else [None]
        known = all(isinstance(d, int) for d in shape)
        made = lifted(tuple(shape)) if known else (1, 1, 1, 1)
        if value.name and prod(made):
            net.bind(value, Blob(f"refused {value.name}", made))

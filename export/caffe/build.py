"""Convert a graph to Caffe layers node by node, and collect the nodes that have no form there."""

__all__ = ["CONVERTERS", "CaffeOptions", "build"]

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.export.caffe.limits import check_limits
from quant.export.caffe.network.blob import Blob, Refusal, constant, finding, shape_of, to_4d
from quant.export.caffe.network.net import NetWriter
from quant.export.caffe.network.read import read_blob
from quant.export.caffe.network.shapes import Shape
from quant.export.caffe.operators.activation import ACTIVATIONS
from quant.export.caffe.operators.arithmetic import ARITHMETIC
from quant.export.caffe.operators.conv import convert_conv, convert_conv_transpose
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
    "Conv": convert_conv,
    "ConvTranspose": convert_conv_transpose,
}
"""ONNX operator to the function that writes its layers."""

BATCH_NORM = "Use BatchNormalization instead and train again."
FIXES: dict[str, str] = {
    **dict.fromkeys(("Gelu", "Erf", "Softplus", "Mish"), "Use Relu instead and train again."),
    "GroupNormalization": BATCH_NORM,
    "InstanceNormalization": BATCH_NORM,
    "LayerNormalization": BATCH_NORM,
}
CUT = "Cut the network before this node and compute the rest on the CPU."


@dataclass(frozen=True, slots=True, kw_only=True)
class CaffeOptions:
    """What a conversion depends on besides the graph.

    Attributes:
        sizes: Shape of each dynamic input, by name, with or without the batch.
        high: Nodes whose layers get `_hp`: 16-bit input and weights with compile_mode 2.
        report: Inner tensors to report as well; outputs that a layer reads always are.
        factors: By input float64 `[C]` in the model's channel order: the board's input is the
            model's divided by it. It goes into the weights of the first layers, exactly.
        swapped: Inputs whose channels arrive in reverse order: BGR for a model trained on RGB.
        shifts: By node float32 `[K]`, added to the layer's bias.
        custom: Nodes to write as Custom layers, which the host computes.
    """

    sizes: Mapping[str, Shape] = field(default_factory=dict)
    high: AbstractSet[str] = frozenset()
    report: AbstractSet[str] = frozenset()
    factors: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    swapped: AbstractSet[str] = frozenset()
    shifts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    custom: AbstractSet[str] = frozenset()


def build(graph: Graph, options: CaffeOptions) -> tuple[NetWriter, ir.Model, list[Finding]]:
    """Return the network as far as it can be written, the graph in its sizes, and the refusals.

    Raises:
        InputError: A size is wrong, or a tensor to report is none.
    """
    model = with_fixed_shapes(graph, options.sizes)
    _add_outputs(graph, model, options.report)
    net = NetWriter(options.high, options.shifts)
    findings = []
    for value in model.graph.inputs:
        if value.is_initializer():
            continue
        try:
            _write_input(net, value, options)
        except Refusal as refusal:
            findings.append(finding(refusal, f"input '{value.name}'"))
    if findings:  # without its inputs, nothing behind them can be checked
        return net, model, findings
    for node in model.graph:
        net.node, mark = node, net.mark()
        try:
            _convert(net, node, options)
        except Refusal as refusal:
            net.undo(mark)
            findings.append(finding(refusal, f"node '{node.name}'", str(node.name)))
            _bind_placeholders(net, node)
    net.node = None
    return net, model, findings


def _add_outputs(graph: Graph, model: ir.Model, names: AbstractSet[str]) -> None:
    """Make inner tensors outputs as well, so that no layer overwrites them in place."""
    tensors = {str(v.name): v for node in model.graph for v in node.outputs}
    for name in sorted(names):
        if name not in tensors:
            raise InputError(
                f"{graph.source or graph.name}: a reported tensor must be made by a layer, and "
                f"'{name}' is not. Report another one."
            )
        if not tensors[name].is_graph_output():
            model.graph.outputs.append(tensors[name])


def _write_input(net: NetWriter, value: ir.Value, options: CaffeOptions) -> None:
    """Write an input; one of [1, H, W, C] that is only transposed becomes [1, C, H, W]."""
    shape = shape_of(value)
    if not shape or shape[0] != 1:
        raise Refusal(2, f"shape {list(shape)}", "batch 1", "Export the model with batch 1.")
    readers = [use.node for use in value.uses()]
    planar = bool(readers) and all(_to_planar(n) for n in readers)
    if planar:
        shape = (1, shape[3], *shape[1:3])
        net.planar.add(str(value.name))
    written = net.input(value, shape if len(shape) in (2, 4) else to_4d(shape))
    name = str(value.name)
    blob = Blob(
        written.name,
        written.shape,
        factor=options.factors.get(name),
        swapped=name in options.swapped,
    )
    for tensor in [value, *(n.outputs[0] for n in readers if planar)]:
        net.bind(tensor, blob)


def _to_planar(node: ir.Node) -> bool:
    """Return whether a node brings [N, H, W, C] to [N, C, H, W]."""
    perm = list(node.attributes.get_ints("perm", []))
    return node.op_type == "Transpose" and perm == [0, 3, 1, 2]


def _convert(net: NetWriter, node: ir.Node, options: CaffeOptions) -> None:
    """Write a node's layers.

    Raises:
        Refusal: The operator has no form in Caffe, or a layer is beyond NNIE's limits.
    """
    before = len(net.layers)
    if node.name in options.custom:
        _custom(net, node)
    elif node.op_type == "Transpose" and net.has(node.outputs[0]):
        return  # the input is already in that order
    elif node.domain not in ("", "ai.onnx") or node.op_type not in CONVERTERS:
        name = f"{node.domain}.{node.op_type}".lstrip(".")
        raise Refusal(
            1, f"operator {name}", "an operator that Caffe has", FIXES.get(node.op_type, CUT)
        )
    else:
        CONVERTERS[node.op_type](net, node)
    for layer in net.layers[before:]:
        check_limits(layer, net.shapes)


def _custom(net: NetWriter, node: ir.Node) -> None:
    """Write a Custom layer, which the host computes: it declares only its results' shapes."""
    bottoms = [
        read_blob(net, v, to_4d(shape_of(v)))
        for v in node.inputs
        if v is not None and constant(v) is None
    ]
    results = [v for v in node.outputs if v.name]
    shapes = [to_4d(shape_of(v)) for v in results]
    layer, blob = net.add("Custom", bottoms, shapes[0])
    for value, top in zip(
        results, [blob] if len(results) == 1 else net.set_tops(layer, shapes), strict=True
    ):
        net.bind(value, top)
        layer.custom_param.shape.add().dim.extend(top.shape)


def _bind_placeholders(net: NetWriter, node: ir.Node) -> None:
    """Give the results of a refused node blobs of their shapes, so that later nodes are read."""
    for value in node.outputs:
        shape: list[Any] = list(value.shape) if value.shape is not None else [None]
        is_fixed = all(isinstance(d, int) for d in shape)
        form = to_4d(tuple(shape)) if is_fixed else (1, 1, 1, 1)
        if value.name and prod(form):
            net.bind(value, Blob(f"refused {value.name}", form))

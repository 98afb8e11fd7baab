"""ONNX to Caffe in NNIE's dialect: a prototxt and a caffemodel that compute the same numbers."""

__all__ = ["CaffeNet", "convert", "refusals"]

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.export.caffe.build import NOBODY, NOTHING, Wishes, build
from quant.export.caffe.finish import join_powers, name_ends
from quant.export.caffe.network.files import caffemodel_bytes, print_prototxt
from quant.export.caffe.network.messages import message
from quant.export.caffe.network.names import plain
from quant.export.caffe.network.net import Net
from quant.graph.prepared_graph import Graph
from quant.target.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class CaffeNet:
    """A Caffe network.

    Attributes:
        prototxt: The structure as text.
        caffemodel: The weights, in binary.
        layers: Caffe layer by ONNX node; a node that needed no layer is not in it, and one that
            needed several has its main one.
        tops: Blob by ONNX tensor, outputs among them; tensors that were overwritten in place, and
            those inside what became one layer, are not in it.
        inputs: Blob by ONNX input; one that nothing reads is not in it.
        outputs: Blobs that the board reports, in the order of the ONNX outputs and then of the
            names of reported tensors, each once.
        shapes: By blob. The numbers are in the order of the ONNX tensor, whatever its shape.
        planar: Inputs that are `[1, C, H, W]` here and `[1, H, W, C]` in the model.
        unread: Blobs beside `outputs` that no layer reads: the board reports them as well.
    """

    prototxt: str
    caffemodel: bytes
    layers: Mapping[str, str]
    tops: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    planar: frozenset[str]
    unread: tuple[str, ...]


def convert(
    graph: Graph,
    *,
    sizes: Mapping[str, tuple[int, ...]] = NOTHING,
    high: AbstractSet[str] = NOBODY,
    report: AbstractSet[str] = NOBODY,
    factors: Mapping[str, NDArray[np.float64]] = NOTHING,
    swapped: AbstractSet[str] = NOBODY,
    shifts: Mapping[str, NDArray[Any]] = NOTHING,
    custom: AbstractSet[str] = NOBODY,
) -> CaffeNet:
    """Return the Caffe network of batch 1 that computes the graph's outputs.

    Args:
        graph: The prepared graph.
        sizes: Shape of each dynamic input, by name, with or without the batch.
        high: Nodes whose layers get `_hp`: 16-bit input and weights with compile_mode 2.
        report: Inner tensors to report as well; outputs that a layer reads are, without asking.
        factors: By input float64 `[C]` in the model's channel order: the board's input is the
            model's divided by it. It goes into the weights of the first layers, exactly.
        swapped: Inputs whose channels arrive in reverse order: BGR for a model that wants RGB.
        shifts: By node float32 `[K]`, added to the layer's bias.
        custom: Nodes to write as Custom layers, which the host computes.

    Raises:
        UnsupportedError: Something cannot be said in NNIE's Caffe; names the first of `refusals`.
        InputError: A size or a tensor to report is none.
    """
    wishes = Wishes(high, shifts, custom, factors, swapped, report)
    net, model, found = build(graph, sizes, wishes)
    if found:
        first, rest = found[0], len(found) - 1
        more = f", and {rest} more like it" if rest else ""
        raise UnsupportedError(
            f"{graph.source or graph.name}, {first.place}: everything must have a form in NNIE's "
            f"Caffe, saw {first.saw}, wanted {first.wanted}{more}. {first.mend}"
        )
    join_powers(net, model.graph.outputs)
    name_ends(net, model.graph.outputs)
    return _finished(net, model, graph.name)


def refusals(graph: Graph, sizes: Mapping[str, tuple[int, ...]] = NOTHING) -> list[Finding]:
    """Return what of the graph cannot be said in NNIE's Caffe, node by node, with the nearest mend.

    Raises:
        InputError: A size is wrong.
    """
    return build(graph, sizes, Wishes())[2]


def _finished(net: Net, model: ir.Model, name: str) -> CaffeNet:
    """Return the network that was written."""
    proto = message("NetParameter")
    proto.name = plain(name, "net")
    proto.layer.extend(net.layers)
    read = {bottom for layer in net.layers for bottom in layer.bottom}
    blobs = dict.fromkeys(net.raw(v).name for v in model.graph.outputs)
    inputs = [v for v in model.graph.inputs if net.has(v) and net.raw(v).name in read]
    return CaffeNet(
        prototxt=print_prototxt(proto),
        caffemodel=caffemodel_bytes(proto),
        layers=dict(net.of_node),
        tops=net.tops,
        inputs={str(v.name): net.raw(v).name for v in inputs},
        outputs=tuple(blobs),
        shapes=dict(net.shapes),
        unread=tuple(n for n in net.shapes if n not in read and n not in blobs),
        planar=frozenset(net.planar),
    )

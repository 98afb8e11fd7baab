"""Convert ONNX to NNIE's Caffe: a prototxt and a caffemodel that compute the same numbers."""

__all__ = ["CaffeNet", "convert", "refusals"]

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quant.common.errors import UnsupportedError
from quant.export.caffe.build import CaffeOptions, build
from quant.export.caffe.finish import merge_powers, name_inputs_and_outputs
from quant.export.caffe.network.files import caffemodel_bytes, print_prototxt
from quant.export.caffe.network.messages import message
from quant.export.caffe.network.names import mapper_name
from quant.export.caffe.network.net import NetWriter
from quant.graph.prepared_graph import Graph
from quant.target.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class CaffeNet:
    """A Caffe network.

    Attributes:
        prototxt: The structure as text.
        caffemodel: The weights, in binary.
        layers: Caffe layer by ONNX node. A node that needed no layer is missing; a node that
            needed several has its main one.
        tops: Blob by ONNX tensor, outputs among them. Tensors that were overwritten in place, and
            tensors inside a group of nodes that became one layer, are missing.
        inputs: Blob by ONNX input; an input that nothing reads is missing.
        outputs: Blobs that the board reports, in the order of the ONNX outputs and then of the
            names of reported tensors, each once.
        shapes: Shape by blob. The numbers are in the order of the ONNX tensor, whatever its shape.
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


def convert(graph: Graph, options: CaffeOptions | None = None) -> CaffeNet:
    """Return the Caffe network of batch 1 that computes the outputs of a prepared graph.

    Raises:
        UnsupportedError: A node has no form in NNIE's Caffe; names the first of `refusals`.
        InputError: A size is wrong, or a tensor to report is none.
    """
    net, model, findings = build(graph, options or CaffeOptions())
    if findings:
        first, more_count = findings[0], len(findings) - 1
        others = f", and {more_count} more like it" if more_count else ""
        raise UnsupportedError(
            f"{graph.source or graph.name}, {first.place}: everything must have a form in NNIE's "
            f"Caffe, saw {first.saw}, wanted {first.wanted}{others}. {first.mend}"
        )
    merge_powers(net, model.graph.outputs)
    name_inputs_and_outputs(net, model.graph.outputs)
    return _caffe_net(net, model, graph.name)


def refusals(graph: Graph, sizes: Mapping[str, tuple[int, ...]] | None = None) -> list[Finding]:
    """Return the nodes that have no form in NNIE's Caffe, each with the nearest fix.

    Raises:
        InputError: A size is wrong.
    """
    return build(graph, CaffeOptions(sizes=sizes or {}))[2]


def _caffe_net(net: NetWriter, model: ir.Model, name: str) -> CaffeNet:
    """Return the finished network as text, bytes and tables of names."""
    proto = message("NetParameter")
    proto.name = mapper_name(name, "net")
    proto.layer.extend(net.layers)
    bottoms = {bottom for layer in net.layers for bottom in layer.bottom}
    blobs = dict.fromkeys(net.blob(v).name for v in model.graph.outputs)
    inputs = [v for v in model.graph.inputs if net.has(v) and net.blob(v).name in bottoms]
    return CaffeNet(
        prototxt=print_prototxt(proto),
        caffemodel=caffemodel_bytes(proto),
        layers=dict(net.layer_of_node),
        tops=net.tops,
        inputs={str(v.name): net.blob(v).name for v in inputs},
        outputs=tuple(blobs),
        shapes=dict(net.shapes),
        unread=tuple(n for n in net.shapes if n not in bottoms and n not in blobs),
        planar=frozenset(net.planar),
    )

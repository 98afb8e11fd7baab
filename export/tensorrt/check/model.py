"""Check a float graph: what TensorRT cannot import, and layers that are slow in 8 bit."""

__all__ = ["check_model"]

from collections.abc import Iterator

import onnx_ir as ir

from quant.export.qdq.nodes import place_of
from quant.export.tensorrt.check.graph import IMPORT
from quant.export.tensorrt.check.grids import GRID
from quant.export.tensorrt.check.kernels import slow_shape_reason
from quant.export.tensorrt.check.network import Network, finding
from quant.export.tensorrt.graph.names import BAD_NODE, BAD_TENSOR
from quant.export.tensorrt.version import version_of
from quant.graph.layers import weight_axis
from quant.graph.prepared_graph import Graph, weight_of
from quant.target.deployment import Deployment
from quant.target.finding import Finding, in_order


def check_model(graph: Graph, deployment: Deployment) -> list[Finding]:
    """Return the findings on a prepared float graph, before anything is written."""
    version = version_of(deployment).major
    return in_order(_findings(graph, Network(model=graph.model, version=version)))


def _findings(graph: Graph, net: Network) -> Iterator[Finding]:
    """Yield the findings on a prepared graph that is still float.

    They are of rules 1 to 6 and 8 for quantizers that it already has; 10 and 11 for operators,
    types and opset; 7, 22 and 23 as warnings about layers that would be quantized; and 27 as information,
    because the export renames.
    """
    for rule in (*GRID, *IMPORT):
        yield from (f for f in rule(net) if f.rule != "tensorrt-27")
    yield from _types(graph, net.version)
    for node in graph.nodes:
        if weight_of(node) is None:
            continue
        reason = slow_shape_reason(node)
        if reason is not None:
            number = 22 if node.op_type == "Conv" else 23
            mend = "Keep it float with a recipe rule if the engine is slow."
            yield finding(
                number,
                "warning",
                node,
                saw=reason,
                wanted="a shape with a fast integer kernel",
                mend=mend,
            )
        if node.op_type == "ConvTranspose" and weight_axis(node) is not None:
            saw = "a ConvTranspose that would get a scale per channel"
            mend = "If the builder finds no implementation, set weights = 'per-tensor' for it."
            yield finding(
                7, "warning", node, saw=saw, wanted="what every 8.x and 10.x can build", mend=mend
            )
    yield from _renames(graph)


def _types(graph: Graph, version: int) -> Iterator[Finding]:
    values = [*graph.inputs, *(v for node in graph.nodes for v in node.outputs)]
    for value in values:
        if value.dtype == ir.DataType.DOUBLE:
            mend = "Cast it to float32 in the model."
            yield finding(
                10,
                "warning",
                place_of(value),
                saw="float64",
                wanted="float32: the parser narrows it",
                mend=mend,
            )
        elif value.dtype == ir.DataType.INT64 and version == 8 and value.is_graph_input():
            mend = "Feed int32."
            yield finding(
                10,
                "warning",
                place_of(value),
                saw="int64",
                wanted="int32: 8.x narrows it",
                mend=mend,
            )


def _renames(graph: Graph) -> Iterator[Finding]:
    wanted = "names that trtexec's lists and caches hold"
    mend = "Nothing to do: the export renames it and says so."
    for node in graph.nodes:
        if BAD_NODE.search(str(node.name)):
            yield finding(
                27, "info", node, saw="a name with , : ' or a line end", wanted=wanted, mend=mend
            )
    for value in [*graph.inputs, *(v for node in graph.nodes for v in node.outputs)]:
        if value.name and BAD_TENSOR.search(value.name):
            yield finding(
                27,
                "info",
                place_of(value),
                saw="a name with ': ' or a line end",
                wanted=wanted,
                mend=mend,
            )

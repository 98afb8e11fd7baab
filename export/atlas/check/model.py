"""Check a prepared graph before it is exported to Atlas."""

__all__ = ["check_model"]

from typing import Any

import onnx_ir as ir

from quant.common.errors import UnsupportedError
from quant.export.atlas.check.view import Findings, finding
from quant.export.atlas.graph.fixed_sizes import fixed_graph
from quant.export.atlas.graph.limits import (
    ARITHMETIC,
    INDEX_OUTPUTS,
    NARROW_CHANNELS,
    ONNX_QUANTIZERS,
    refusal,
)
from quant.export.atlas.graph.lower_opset import MAX_OPSET, MIN_OPSET, lowest_opset
from quant.export.atlas.version import OLD_CHIP, SOC_VERSION
from quant.graph.prepared_graph import PROTO_LIMIT, Graph, model_bytes, weight_of
from quant.target.deployment import Deployment
from quant.target.finding import Finding, Severity


def check_model(graph: Graph, deployment: Deployment) -> list[Finding]:
    """Return the findings on a prepared graph, before anything is written."""
    return list(_findings(fixed_graph(graph, deployment), deployment))


def _findings(graph: Graph, deployment: Deployment) -> Findings:
    """Yield the findings of rules 1, 2, 3, 14, 15, 19, 20, 24, 29 and 30 on a float graph."""
    yield from _opset(graph, deployment)
    for node in graph.nodes:
        yield from _operator(node)
        yield from _layer(node, deployment)
        yield from _indices(node)
    for value in graph.inputs:
        yield from _input(value)
    if model_bytes(graph.model) > PROTO_LIMIT:
        saw = f"{model_bytes(graph.model)} bytes of weights"
        mend = "Keep the .data files beside the models."
        yield finding(30, "info", "the model", saw=saw, wanted="2 GB in one file", mend=mend)


def _opset(graph: Graph, deployment: Deployment) -> Findings:
    if any(node.domain not in ("", "ai.onnx") for node in graph.nodes):
        return  # rule 2 reports it
    try:
        version, above = lowest_opset(graph.model, graph.source or graph.name)
    except UnsupportedError as error:
        saw = str(error).split("saw ", 1)[1].rsplit(", which", 1)[0]
        mend = "Export the model again with opset 17."
        yield finding(
            1, "error", "the model", saw=saw, wanted=f"{MIN_OPSET} to {MAX_OPSET}", mend=mend
        )
        return
    if version > MIN_OPSET and SOC_VERSION.of(deployment.versions) == OLD_CHIP:
        mend = "Use CANN 7 or newer, or replace the operator."
        saw = f"{above}, which needs opset {version}"
        yield finding(1, "info", "the model", saw=saw, wanted="11 for CANN 5 and 6", mend=mend)


def _operator(node: ir.Node) -> Findings:
    place, name = f"node '{node.name}'", str(node.name)
    if node.op_type in ONNX_QUANTIZERS or node.op_type.startswith("QLinear"):
        mend = "Start from the float model."
        yield finding(
            3,
            "error",
            place,
            saw=node.op_type,
            wanted="no quantizer of ONNX",
            mend=mend,
            layer=name,
        )
    elif node.domain not in ("", "ai.onnx"):
        saw = f"operator '{node.op_type}' of domain '{node.domain}'"
        mend = "Export with standard operators."
        yield finding(2, "error", place, saw=saw, wanted="ONNX's own domain", mend=mend, layer=name)


def _layer(node: ir.Node, deployment: Deployment) -> Findings:
    place, name = f"node '{node.name}'", str(node.name)
    weight = weight_of(node)
    if weight is None and node.op_type != "AveragePool":
        return
    refused = refusal(node)
    if refused is not None:
        severity: Severity = "warning" if deployment.allow_fallback else "error"
        if node.op_type == "AveragePool":
            severity = "info"  # it stays float, which costs next to nothing
        mend = "It stays float." if severity != "error" else "Keep it float, or allow fallback."
        yield finding(
            refused.rule,
            severity,
            place,
            saw=refused.saw,
            wanted=refused.wanted,
            mend=mend,
            layer=name,
        )
    elif node.op_type == "Conv" and weight is not None and weight.shape is not None:
        channels = weight.shape[1]
        count = channels * node.attributes.get_int("group", 1) if isinstance(channels, int) else 0
        if 0 < count <= NARROW_CHANNELS:
            wanted = f"more than {NARROW_CHANNELS} for INT8 to be faster"
            mend = "Keep it float in the recipe, which costs no time and saves its error."
            saw = f"{count} input channels"
            yield finding(20, "warning", place, saw=saw, wanted=wanted, mend=mend, layer=name)


def _indices(node: ir.Node) -> Findings:
    index = INDEX_OUTPUTS.get(node.op_type)
    if index is None or len(node.outputs) <= index:
        return
    for reader in dict.fromkeys(use.node for use in node.outputs[index].uses()):
        if reader.op_type in ARITHMETIC:
            saw = f"int64 indices of {node.op_type} in arithmetic"
            place, mend = f"node '{reader.name}'", "Cast the indices to int32 before it."
            yield finding(
                29, "warning", place, saw=saw, wanted="int32", mend=mend, layer=str(reader.name)
            )


def _input(value: ir.Value) -> Findings:
    place = f"tensor '{value.name}'"
    if value.dtype not in (None, ir.DataType.FLOAT):
        saw = f"a graph input of type {value.dtype.name}"
        yield finding(
            24, "error", place, saw=saw, wanted="FLOAT", mend="Cast it inside the network."
        )
    sizes: list[Any] = list(value.shape) if value.shape is not None else []
    shown_sizes = [s if isinstance(s, int) else str(s) for s in sizes]
    if not sizes or not all(isinstance(s, int) for s in sizes[1:]):
        mend = "Give --size, or export the model with fixed sizes behind the batch."
        yield finding(
            24,
            "error",
            place,
            saw=f"sizes {shown_sizes}",
            wanted="fixed sizes behind the batch",
            mend=mend,
        )
    elif not isinstance(sizes[0], int):
        mend = "atc.sh compiles for batch 1; edit its --input_shape for another."
        yield finding(
            24, "info", place, saw=f"sizes {shown_sizes}", wanted="a fixed batch", mend=mend
        )
    if ";" in str(value.name) or str(value.name).splitlines() != [str(value.name)]:
        mend = "Rename the input."
        yield finding(
            26,
            "error",
            place,
            saw="a name with a semicolon or a line break",
            wanted="none",
            mend=mend,
        )

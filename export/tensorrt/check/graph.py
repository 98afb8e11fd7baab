"""Check a graph's operators, opset, types and names: rules 10, 11, 13, 27 and 28.

Source: onnx-tensorrt `docs/operators.md`; NvInfer.h 11.1; trtexec 10.16 `sampleOptions.cpp`.
"""

__all__ = ["IMPORT", "MAX_OPSET"]

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import onnx
import onnx_ir as ir

from quant.export.qdq.nodes import input_of, is_quantizer, is_standard, place_of, readers
from quant.export.qdq.walk import constant_array
from quant.export.tensorrt.check.network import Network, Rule, finding
from quant.export.tensorrt.graph.names import BAD_NODE, BAD_TENSOR
from quant.target.finding import Finding, Severity

MAX_OPSET: Mapping[int, int] = MappingProxyType({8: 17, 10: 24, 11: 25})
"""Major version to its highest opset: 8.6; onnx-tensorrt 10.15 `operators.md`; NVIDIA, "ONNX Opset
Guide" for 11.x."""
SAFE_OPSET: Mapping[int, int] = MappingProxyType({8: 17, 10: 20, 11: 24})
"""Major version to the highest opset that every minor version reads (10.0, 11.2); but 8.0 to 8.4
read only up to 13."""

VARIADIC = onnx.defs.OpSchema.FormalParameterOption.Variadic

REFUSED_OPERATORS = {
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeLinear",
}
PARSER_OPERATORS = {
    "TRT_FP8QuantizeLinear",
    "TRT_FP8DequantizeLinear",
    "TRT_INT4QuantizeLinear",
    "TRT_INT4DequantizeLinear",
}
"""Custom operators of other exporters that the parser imports."""


def _operators(net: Network) -> Iterator[Finding]:
    mend = "Export Q/DQ ONNX with static scales (QuantFormat.QDQ) and standard operators."
    for node in net.nodes:
        if node.op_type in REFUSED_OPERATORS or (
            not is_standard(node) and node.op_type not in PARSER_OPERATORS
        ):
            domain = "" if is_standard(node) else f"{node.domain}."
            saw, wanted = f"{domain}{node.op_type}", "an operator that the parser imports"
            yield finding(10, "error", node, saw=saw, wanted=wanted, mend=mend)
    used = {n.domain for n in net.nodes}
    for domain in sorted(set(net.model.graph.opset_imports) - used - {"", "ai.onnx"}):
        saw, wanted = f"an unused opset of domain '{domain}'", "the standard domain alone"
        mend = "Remove the opset import."
        yield finding(10, "warning", "opset_import", saw=saw, wanted=wanted, mend=mend)


def _opset(net: Network) -> Iterator[Finding]:
    opset = net.model.graph.opset_imports.get("", 0)
    need, why = _needed_opset(net)
    if opset < need:
        mend = f"Raise the model to opset {need}."
        yield finding(
            11, "error", "opset_import", saw=f"opset {opset}", wanted=f"{need} for {why}", mend=mend
        )
    highest, surely_read = MAX_OPSET[net.version], SAFE_OPSET[net.version]
    if opset > surely_read:
        too_high = opset > highest
        wanted = f"at most {highest if too_high else surely_read} for TensorRT {net.version}"
        mend = (
            f"Export the model with opset {surely_read}."
            if too_high
            else "Use the newest minor version."
        )
        severity: Severity = "error" if too_high else "warning"
        yield finding(11, severity, "opset_import", saw=f"opset {opset}", wanted=wanted, mend=mend)


def _needed_opset(net: Network) -> tuple[int, str]:
    needed = (10, "QuantizeLinear") if net.quantizers else (0, "")
    for node in net.quantizers:
        scale = constant_array(input_of(node, 1))
        zero = input_of(node, 2)
        kind = zero.dtype if zero is not None else None
        if kind == ir.DataType.INT4 or (scale is not None and scale.ndim > 1):
            needed = max(needed, (21, "INT4 or scales for blocks"))
        elif kind == ir.DataType.FLOAT8E4M3FN:
            needed = max(needed, (19, "FP8"))
        elif scale is not None and scale.size > 1:
            needed = max(needed, (13, "scales per channel"))
    return needed


def _typed(net: Network) -> Iterator[Finding]:
    if net.version == 8:
        return
    version = net.model.graph.opset_imports.get("", 0)
    for node in net.nodes:
        if not is_standard(node):
            continue
        scale_type = _type_name(input_of(node, 1)) if is_quantizer(node) else None
        input_type = _type_name(input_of(node, 0)) if is_quantizer(node, "QuantizeLinear") else None
        if scale_type is not None and input_type is not None and scale_type != input_type:
            saw = f"a {scale_type} scale for a {input_type} tensor"
            mend = "Store the scale in the tensor's type, or cast the tensor."
            yield finding(13, "error", node, saw=saw, wanted=f"a {input_type} scale", mend=mend)
        kinds = _operand_types(node, version)
        for variable, types in kinds.items():
            if len(types) > 1:
                saw = f"inputs of {' and '.join(sorted(types))} for type {variable}"
                mend = "Put a Cast before one of them."
                yield finding(
                    13,
                    "error",
                    node,
                    saw=saw,
                    wanted="one type: strong typing casts nothing",
                    mend=mend,
                )


def _type_name(value: ir.Value | None) -> str | None:
    return value.dtype.name.lower() if value is not None and value.dtype is not None else None


def _operand_types(node: ir.Node, version: int) -> dict[str, set[str]]:
    """Return the types of the inputs for each type variable of the operator's schema."""
    types: dict[str, set[str]] = {}
    if is_quantizer(node) or not onnx.defs.has(node.op_type, version):
        return types
    schema = onnx.defs.get_schema(node.op_type, version, "")
    variables = {c.type_param_str for c in schema.type_constraints}
    for index, value in enumerate(node.inputs):
        formal = schema.inputs[min(index, len(schema.inputs) - 1)] if schema.inputs else None
        kind = _type_name(value)
        mixed = formal is not None and formal.option == VARIADIC and not formal.is_homogeneous
        if formal is not None and kind and formal.type_str in variables and not mixed:
            types.setdefault(formal.type_str, set()).add(kind)
    return types


def _names(net: Network) -> Iterator[Finding]:
    severity: Severity = (
        "error" if net.version < 11 else "warning"
    )  # version 11 has no lists of layers
    count = Counter(n.name for n in net.nodes)
    for node in net.nodes:
        mend = "Rename the node."
        wanted = "a name of its own without , : ' and line ends"
        if not node.name:
            yield finding(27, severity, node, saw="no name", wanted=wanted, mend=mend)
        elif BAD_NODE.search(node.name):
            yield finding(
                27,
                severity,
                node,
                saw="a name that trtexec's lists break at",
                wanted=wanted,
                mend=mend,
            )
        elif count[node.name] > 1:
            yield finding(
                27, severity, node, saw=f"{count[node.name]} nodes of it", wanted=wanted, mend=mend
            )
        elif "*" in node.name:
            saw = "a '*', which trtexec's lists take for any characters"
            yield finding(27, "warning", node, saw=saw, wanted=wanted, mend=mend)
    graph = net.model.graph
    results = [v for n in net.nodes for v in n.outputs if v.name]
    for value in [*graph.inputs, *results]:
        if BAD_TENSOR.search(str(value.name)):
            wanted = "no ': ', line end or outer space, which calibration caches break at"
            saw = "a name that calibration caches break at"
            yield finding(
                27, severity, place_of(value), saw=saw, wanted=wanted, mend="Rename the tensor."
            )


def _small_initializers(net: Network) -> Iterator[Finding]:
    small = {ir.DataType.INT8, ir.DataType.INT4, ir.DataType.FLOAT8E4M3FN}
    for value in net.model.graph.initializers.values():
        if value.dtype not in small:
            continue
        for node, _ in readers(value):
            if not is_quantizer(node) and not (node.op_type == "Cast" and net.version != 8):
                saw = f"8-bit numbers that pass through {place_of(node)} ({node.op_type})"
                mend = "Give each quantizer its own initializer."
                wanted = "QuantizeLinear and DequantizeLinear as readers"
                yield finding(28, "error", place_of(value), saw=saw, wanted=wanted, mend=mend)


IMPORT: tuple[Rule, ...] = (_operators, _opset, _typed, _names, _small_initializers)
"""Rules 10, 11, 13, 27 and 28."""

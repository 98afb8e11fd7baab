"""Check for operators and scales that OpenVINO's ONNX reader refuses or changes: rules 1 to 3.

Source: `Core.read_model` of OpenVINO 2026.4.1 on a graph of each operator that ONNX 1.23 and ONNX
Runtime's domain have; wrong conversions show against ONNX Runtime on random numbers.
"""

__all__ = ["IMPORT", "Rule", "finding", "operator_findings", "scale_findings"]

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from quant.export.openvino.check.rules import RULES
from quant.export.qdq.nodes import input_of, is_quantizer, is_standard, place_of
from quant.export.qdq.walk import constant_array
from quant.target.finding import Finding, Rules

Rule: TypeAlias = Callable[[ir.Model], Iterator[Finding]]

UNREAD_OPERATORS = frozenset(
    {
        *("Bernoulli", "BitCast", "CausalConvWithState", "ConcatFromSequence", "CumProd", "Det"),
        *("DeformConv", "ImageDecoder", "LinearAttention", "MaxUnpool", "MelWeightMatrix"),
        *("Optional", "OptionalGetElement", "OptionalHasElement", "RegexFullMatch", "SequenceAt"),
        *("SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"),
        *("SequenceLength", "SequenceMap", "StringConcat", "StringNormalizer", "StringSplit"),
        *("SwiGLU", "TensorScatter", "TfIdfVectorizer"),
    }
)
"""Standard operators without a conversion rule."""
MICROSOFT_OPERATORS = frozenset(
    {
        *("Attention", "BiasGelu", "DynamicQuantizeMatMul", "EmbedLayerNormalization", "FastGelu"),
        *("FusedConv", "FusedGemm", "FusedMatMul", "Gelu", "GroupNorm", "GroupQueryAttention"),
        *("MatMulIntegerToFloat", "MatMulNBits", "MultiHeadAttention", "Pad", "QuickGelu"),
        *("QuantizeLinear", "DequantizeLinear", "RotaryEmbedding", "SimplifiedLayerNormalization"),
        *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "Trilu"),
    }
)
"""Operators of com.microsoft with a conversion rule."""
DYNAMIC_OPERATORS = (
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
)


def _located(node: ir.Node) -> tuple[str, str | None]:
    """Return a node's place and its layer, which is the node itself."""
    return place_of(node), node.name or None


finding = Rules("openvino", RULES, _located).finding
"""A finding of a rule of OpenVINO: see `Rules.finding`."""


def operator_findings(model: ir.Model) -> Iterator[Finding]:
    """Yield a finding for each operator that the reader does not convert."""
    wanted = "an operator that OpenVINO's reader converts"
    for node in model.graph:
        unread = node.op_type in UNREAD_OPERATORS if is_standard(node) else _is_unread(node)
        if unread:
            saw = node.op_type if is_standard(node) else f"{node.domain}.{node.op_type}"
            mend = "Export with standard operators: the reader inlines no function of a model."
            yield finding(1, "error", node, saw=saw, wanted=wanted, mend=mend)


def _is_unread(node: ir.Node) -> bool:
    if node.domain == "com.microsoft":
        return node.op_type not in MICROSOFT_OPERATORS and not node.op_type.startswith("QLinear")
    return node.domain not in ("org.openvinotoolkit", "ai.onnx.ml")


def _integer_operators(model: ir.Model) -> Iterator[Finding]:
    wanted, mend = "QuantizeLinear and DequantizeLinear", "Export it as Q/DQ (QuantFormat.QDQ)."
    for node in model.graph:
        microsoft = node.domain == "com.microsoft"
        if microsoft and node.op_type.startswith("QLinear"):
            saw = f"{node.op_type}, which it converts to floats that do not saturate"
            yield finding(2, "error", node, saw=saw, wanted=wanted, mend=mend)
        elif is_standard(node) and node.op_type == "QLinearConv":
            scale = constant_array(input_of(node, 4))
            if scale is None or scale.size > 1:
                saw = "QLinearConv with a scale per channel, which it refuses, or applies to the input channels"
                yield finding(2, "error", node, saw=saw, wanted=wanted, mend=mend)
        elif (is_standard(node) or microsoft) and node.op_type in DYNAMIC_OPERATORS:
            saw = f"{node.op_type}, which it computes in float"
            yield finding(2, "warning", node, saw=saw, wanted=wanted, mend=mend)


def scale_findings(model: ir.Model) -> Iterator[Finding]:
    """Yield a finding for each quantizer whose scale is not a positive constant."""
    wanted = "a constant, finite and above 0"
    for node in model.graph:
        if not is_quantizer(node):
            continue
        numbers = constant_array(input_of(node, 1))
        if numbers is None:
            saw = "a scale that is computed, so that its readers run in float"
            mend = "Quantize with static scales and fold the graph's constants."
            yield finding(3, "warning", node, saw=saw, wanted=wanted, mend=mend)
            continue
        flat = numbers.astype(np.float64).ravel()
        bad = flat[~(np.isfinite(flat) & (flat > 0))]
        if bad.size or not flat.size:
            saw = f"a scale of {bad[0]:g}" if bad.size else "no scale"
            yield finding(
                3,
                "error",
                node,
                saw=saw,
                wanted=wanted,
                mend="Give a dead tensor or channel the scale 1.",
            )


IMPORT: tuple[Rule, ...] = (operator_findings, _integer_operators, scale_findings)
"""Rules 1 to 3."""

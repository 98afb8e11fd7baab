"""What CANN's INT8 kernels take, asked of a node before anything is written."""

__all__ = ["INTEGER_OPS", "refusal"]

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from quant.graph import WEIGHTED, weight_of

INTEGER_OPS = frozenset({*WEIGHTED, "AveragePool"})
"""Operators that stand between AscendQuant and AscendDequant."""


def refusal(node: ir.Node) -> str | None:
    """Return why Atlas cannot run a node in INT8, as "saw ..., wanted ...", or None.

    Source: CANN, `quantization_layers_constraints.md` of the ATC guide, and AMCT's QAT page.
    """
    if node.domain not in ("", "ai.onnx") or node.op_type not in INTEGER_OPS:
        return f"operator {node.op_type}, wanted one of {', '.join(sorted(INTEGER_OPS))}"
    if node.op_type == "AveragePool":
        return _pool(node)
    weight = weight_of(node)
    if weight is None or weight.const_value is None:
        return "a weight that is no constant, wanted a constant"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and bias.const_value is None:
        return "a bias that is no constant, wanted a constant"
    found = _weighted(node, weight.const_value.shape.numpy())
    if found is None and bias is not None and bias.const_value is not None:
        return _bias(bias.const_value.shape.numpy())
    return found


def _weighted(node: ir.Node, shape: Sequence[int]) -> str | None:
    dilations = [int(d) for d in node.attributes.get_ints("dilations", [])]
    if node.op_type == "Conv" and len(shape) == 5 and dilations[:1] not in ([], [1]):
        return f"a 3-D convolution with dilations {dilations}, wanted 1 along the depth"
    if node.op_type == "ConvTranspose":
        if len(shape) != 4:
            return f"a filter of {len(shape)} axes, wanted 4"
        if any(d != 1 for d in dilations):
            return f"a transposed convolution with dilations {dilations}, wanted 1"
    if node.op_type == "Gemm":
        if node.attributes.get_int("transA", 0):
            return "transA=1, wanted 0"
        if {node.attributes.get_float(n, 1.0) for n in ("alpha", "beta")} != {1.0}:
            return "alpha or beta other than 1, wanted 1"
    if node.op_type == "MatMul" and len(shape) != 2:
        return f"a right operand of {len(shape)} axes, wanted 2"
    return None


def _bias(shape: Sequence[int]) -> str | None:
    rows = int(np.prod(shape[:-1], dtype=np.int64)) if shape else 1
    return None if rows == 1 else f"a bias of shape {list(shape)}, wanted one axis"


def _pool(node: ir.Node) -> str | None:
    """An AveragePool must be 2-D and smaller than its map: a global one has no INT8 kernel."""
    kernel = [int(k) for k in node.attributes.get_ints("kernel_shape", [])]
    if len(kernel) != 2:
        return f"an AveragePool over {len(kernel)} axes, wanted 2"
    if any(int(d) != 1 for d in node.attributes.get_ints("dilations", [])):
        return "an AveragePool with dilations, wanted none"
    value = node.inputs[0]
    sizes: list[Any] = list(value.shape)[2:] if value is not None and value.shape else []
    if sizes and all(isinstance(s, int) and s <= k for s, k in zip(sizes, kernel, strict=False)):
        return f"an AveragePool over the whole map ({kernel[0]}x{kernel[1]}), wanted a part of it"
    return None

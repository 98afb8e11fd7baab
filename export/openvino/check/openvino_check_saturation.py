"""The rule about CPUs without VNNI, where two products of bytes are added in 16 bits.

`vpmaddubsw` (AVX2, and AVX-512 before VNNI) adds two products of uint8 and int8 and saturates at
32767: 255 * (|a| + |b|) passes that from |a| + |b| = 129. Source: Intel's instruction reference;
oneDNN, "Nuances of int8 Computations"; NNCF's `overflow_fix` halves the weights of the first layer
for the same reason. CPUs with VNNI, AVX-VNNI or AMX add in 32 bits.
"""

__all__ = ["SATURATION", "may_saturate"]

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.openvino.check.graph import Rule, finding
from quant.export.qdq.nodes import is_quantizer, maker, operand, plain
from quant.export.qdq.walk import weight_source
from quant.graph.prepared_graph import WEIGHTED
from quant.target.finding import Finding

MOST = 32767 // 255
"""128: the largest |a| + |b| of two weights in a row that cannot saturate."""


def may_saturate(weight: NDArray[Any], axis: int) -> bool:
    """Tell whether two int8 weights that follow one another along `axis` can saturate 16 bits.

    Args:
        weight: int8, any shape.
        axis: The reduced axis, along which a kernel takes its pairs.
    """
    rows = np.moveaxis(np.abs(weight.astype(np.int32)), axis, 0)
    count = len(rows) // 2 * 2
    pairs = rows[0:count:2] + rows[1:count:2]
    return bool(pairs.size and pairs.max() > MOST)


def _pairs(model: ir.Model) -> Iterator[Finding]:
    found, every = [], 0
    for node in model.graph:
        made = maker(operand(node, 1)) if plain(node) and node.op_type in WEIGHTED else None
        value = weight_source(node) if is_quantizer(made, "DequantizeLinear") else None
        if value is None or value.dtype != ir.DataType.INT8 or value.const_value is None:
            continue
        every += 1
        weight = value.const_value.numpy()
        axis = 1 if node.op_type == "Conv" or _transposed(node) else 0
        if node.op_type == "MatMul":
            axis = weight.ndim - 2
        if weight.ndim > 1 and may_saturate(weight, axis):
            found.append(node)
    if found:
        saw = f"{len(found)} of {every} layers whose products of two bytes can pass 16 bits"
        mend = (
            "Nothing to do on CPUs with VNNI, AVX-VNNI or AMX; on older ones compare the accuracy."
        )
        wanted = f"|a| + |b| <= {MOST} of two weights in a row, for CPUs without VNNI"
        yield finding(13, "info", "the weights", saw, wanted, mend)


def _transposed(node: ir.Node) -> bool:
    return node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1


SATURATION: tuple[Rule, ...] = (_pairs,)
"""Rule 13."""

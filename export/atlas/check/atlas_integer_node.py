"""One node of a deploy model on exact integers: attributes read, then the sum."""

__all__ = ["integer_sum"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.export.atlas.check.integer_operators import convolve, multiply, transpose_convolve

Array = NDArray[Any]


def integer_sum(
    node: onnx.NodeProto,
    told: Mapping[str, Any],
    inputs: Sequence[Array | None],
    mean: Callable[[onnx.NodeProto, Array], Array],
) -> Array:
    """Return the int64 sums of a node with its bias; of an AveragePool float32 means.

    Args:
        node: Conv, ConvTranspose, Gemm, MatMul or AveragePool.
        told: Its attributes.
        inputs: int64 `q - offset`, int8 weight, int32 bias.
        mean: Computes an AveragePool.

    Raises:
        UnsupportedError: Another operator, or attributes that its INT8 kernel does not take.
    """
    x, *rest = inputs
    weight = rest[0] if rest else None
    if node.op_type == "AveragePool" and x is not None:
        return mean(node, x)
    if x is None or weight is None or node.op_type not in _SUMS:
        raise UnsupportedError(
            f"node '{node.name}' ({node.op_type}): only Conv, ConvTranspose, Gemm, MatMul and "
            "AveragePool compute on int8. Put an AscendAntiQuant before it."
        )
    total = _SUMS[node.op_type](told, x, weight)
    bias = rest[1] if len(rest) > 1 else None
    if bias is None:
        return total
    shape = (-1,) if total.ndim == 2 else (-1, *[1] * (total.ndim - 2))
    return total + bias.astype(np.int64).reshape(shape)


def _conv(told: Mapping[str, Any], x: Array, weight: Array) -> Array:
    rank = x.ndim - 2
    strides = told.get("strides", [1] * rank)
    dilations = told.get("dilations", [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    totals = [
        max((-(-n // s) - 1) * s + span - n, 0)
        for n, s, span in zip(x.shape[2:], strides, spans, strict=True)
    ]
    return convolve(
        x,
        weight,
        strides=strides,
        pads=_pads(told, totals),
        dilations=dilations,
        group=told.get("group", 1),
    )


def _conv_transpose(told: Mapping[str, Any], x: Array, weight: Array) -> Array:
    rank = x.ndim - 2
    strides = told.get("strides", [1] * rank)
    extra = told.get("output_padding", [0] * rank)
    full = [
        (n - 1) * s + k + e
        for n, s, k, e in zip(x.shape[2:], strides, weight.shape[2:], extra, strict=True)
    ]
    wanted = told.get("output_shape", [n * s for n, s in zip(x.shape[2:], strides, strict=True)])
    totals = [max(f - w, 0) for f, w in zip(full, wanted[-rank:], strict=True)]
    if "output_shape" in told and told.get("auto_pad", b"NOTSET") == b"NOTSET":
        told = {**told, "auto_pad": b"SAME_LOWER"}  # ONNX: the odd element is cut off in front
    return transpose_convolve(
        x,
        weight,
        strides=strides,
        pads=_pads(told, totals),
        group=told.get("group", 1),
        output_padding=extra,
    )


def _pads(told: Mapping[str, Any], totals: Sequence[int]) -> list[int]:
    """Return the pads, those of `auto_pad` worked out from what is to be added in all."""
    mode = told.get("auto_pad", b"NOTSET")
    if mode == b"NOTSET":
        return list(told.get("pads", [0] * 2 * len(totals)))
    if mode == b"VALID":
        return [0] * 2 * len(totals)
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return less + more if mode == b"SAME_UPPER" else more + less


def _gemm(told: Mapping[str, Any], x: Array, weight: Array) -> Array:
    return multiply(x, weight.T if told.get("transB", 0) else weight)


_SUMS: Mapping[str, Callable[[Mapping[str, Any], Array, Array], Array]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda _, x, weight: multiply(x, weight),
}

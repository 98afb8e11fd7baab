"""Exact integer convolutions and products in numpy, as an int8 cube with int32 sums makes them."""

__all__ = ["convolve", "integer_sum", "multiply", "transpose_convolve"]

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError

I64 = NDArray[np.int64]


Array = NDArray[Any]


def convolve(
    x: Array,
    weight: Array,
    *,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> I64:
    """Return the convolution of integers, exactly.

    ``y[n, o, p] = sum over c, k of x[n, c, p * stride + k * dilation - pad] * weight[o, c, k]``

    Args:
        x: Integers `[N, C, *sizes]`.
        weight: Integers `[O, C / group, *kernel]`.
        strides: One for each of the sizes; `dilations` too.
        pads: Zeros before each of the sizes, and then behind each of them.
        dilations: The distance of the kernel's elements.
        group: Groups of channels.

    Sums are made by float64 products, which are exact below 2**53.
    """
    count, rank = len(x), x.ndim - 2
    sides = list(zip(pads[:rank], pads[rank:], strict=True))
    wide = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *sides])
    kernel = weight.shape[2:]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [(n - span) // s + 1 for n, span, s in zip(wide.shape[2:], spans, strides, strict=True)]
    filters = _by_element(weight, group)
    total = np.zeros((count, group, filters.shape[-2], prod(sizes)))
    for at in np.ndindex(*kernel):
        cut = tuple(
            slice(k * d, k * d + s * (n - 1) + 1, s)
            for k, d, s, n in zip(at, dilations, strides, sizes, strict=True)
        )
        seen = wide[(slice(None), slice(None), *cut)]
        total += filters[at] @ seen.reshape(count, group, -1, prod(sizes))
    return total.reshape(count, -1, *sizes).astype(np.int64)


def transpose_convolve(
    x: Array,
    weight: Array,
    *,
    strides: Sequence[int],
    pads: Sequence[int],
    group: int,
    output_padding: Sequence[int],
) -> I64:
    """Return the transposed convolution of integers, exactly.

    ``y[n, o, p * stride + k - pad] += x[n, c, p] * weight[c, o, k]``, dilation 1.

    Args:
        x: Integers `[N, C, *sizes]`.
        weight: Integers `[C, O / group, *kernel]`.
        strides: One for each of the sizes; `output_padding`, zeros behind the result, too.
        pads: Elements that are cut off before each of the sizes, and then behind each of them.
        group: Groups of channels.
        output_padding: Elements added behind the result.
    """
    count, rank = len(x), x.ndim - 2
    kernel = weight.shape[2:]
    sizes = x.shape[2:]
    filters = _by_element(weight, group)
    seen = x.astype(np.float64).reshape(count, group, -1, prod(sizes))
    full = [
        (n - 1) * s + k + p
        for n, s, k, p in zip(sizes, strides, kernel, output_padding, strict=True)
    ]
    total = np.zeros((count, group, weight.shape[1], *full))
    for at in np.ndindex(*kernel):
        cut = tuple(
            slice(k, k + s * (n - 1) + 1, s) for k, s, n in zip(at, strides, sizes, strict=True)
        )
        part = np.ascontiguousarray(filters[at].swapaxes(1, 2)) @ seen
        whole = (slice(None), slice(None), slice(None), *cut)
        total[whole] += part.reshape(count, group, -1, *sizes)
    kept = tuple(slice(b, n - e) for b, e, n in zip(pads[:rank], pads[rank:], full, strict=True))
    return total.reshape(count, -1, *full)[(slice(None), slice(None), *kept)].astype(np.int64)


def _by_element(weight: Array, group: int) -> NDArray[np.float64]:
    """Return `[*kernel, group, rows, columns]`, contiguous, for BLAS has no strides within rows."""
    parts = weight.astype(np.float64).reshape(group, -1, *weight.shape[1:])
    return np.ascontiguousarray(np.moveaxis(parts, (0, 1, 2), (-3, -2, -1)))


def multiply(x: Array, weight: Array) -> I64:
    """Return the matrix product of integers `[..., K]` and `[K, N]`, exactly."""
    return np.asarray(np.matmul(x.astype(np.float64), weight.astype(np.float64))).astype(np.int64)


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

"""Exact integer convolutions and products in numpy, as a cube of int8 with int32 sums."""

__all__ = ["ConvGeometry", "convolve", "integer_sum", "multiply", "transpose_convolve"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError

I64 = NDArray[np.int64]


Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvGeometry:
    """The attributes of a convolution; every sequence but `pads` has one number for each size.

    Attributes:
        strides: Elements from one window to the next.
        pads: Elements before each of the sizes, and then behind each of them: zeros that are added
            to the input, or elements that a transposed convolution cuts off its result.
        dilations: Distance of the kernel's elements; a transposed convolution has none.
        group: Groups of channels.
        output_padding: Zeros that a transposed convolution adds behind its result.
    """

    strides: Sequence[int]
    pads: Sequence[int]
    dilations: Sequence[int] = ()
    group: int = 1
    output_padding: Sequence[int] = ()


def convolve(x: Array, weight: Array, geometry: ConvGeometry) -> I64:
    """Return the convolution of integers, exactly.

    ``y[n, o, p] = sum over c, k of x[n, c, p * stride + k * dilation - pad] * weight[o, c, k]``

    Args:
        x: Integers `[N, C, *sizes]`.
        weight: Integers `[O, C / group, *kernel]`.
        geometry: Strides, pads, dilations and group.

    Sums are computed by float64 products, which are exact below 2**53.
    """
    strides, pads, dilations = geometry.strides, geometry.pads, geometry.dilations
    group = geometry.group
    count, rank = len(x), x.ndim - 2
    sides = list(zip(pads[:rank], pads[rank:], strict=True))
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *sides])
    kernel = weight.shape[2:]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [
        (n - span) // s + 1 for n, span, s in zip(padded.shape[2:], spans, strides, strict=True)
    ]
    filters = _by_element(weight, group)
    total = np.zeros((count, group, filters.shape[-2], prod(sizes)))
    for element in np.ndindex(*kernel):
        cut = tuple(
            slice(k * d, k * d + s * (n - 1) + 1, s)
            for k, d, s, n in zip(element, dilations, strides, sizes, strict=True)
        )
        window = padded[(slice(None), slice(None), *cut)]
        total += filters[element] @ window.reshape(count, group, -1, prod(sizes))
    return total.reshape(count, -1, *sizes).astype(np.int64)


def transpose_convolve(x: Array, weight: Array, geometry: ConvGeometry) -> I64:
    """Return the transposed convolution of integers, exactly.

    ``y[n, o, p * stride + k - pad] += x[n, c, p] * weight[c, o, k]``, dilation 1.

    Args:
        x: Integers `[N, C, *sizes]`.
        weight: Integers `[C, O / group, *kernel]`.
        geometry: Strides, pads, group and output padding.
    """
    strides, pads, group = geometry.strides, geometry.pads, geometry.group
    output_padding = geometry.output_padding
    count, rank = len(x), x.ndim - 2
    kernel = weight.shape[2:]
    sizes = x.shape[2:]
    filters = _by_element(weight, group)
    flat = x.astype(np.float64).reshape(count, group, -1, prod(sizes))
    full = [
        (n - 1) * s + k + p
        for n, s, k, p in zip(sizes, strides, kernel, output_padding, strict=True)
    ]
    total = np.zeros((count, group, weight.shape[1], *full))
    for element in np.ndindex(*kernel):
        cut = tuple(
            slice(k, k + s * (n - 1) + 1, s)
            for k, s, n in zip(element, strides, sizes, strict=True)
        )
        part = np.ascontiguousarray(filters[element].swapaxes(1, 2)) @ flat
        index = (slice(None), slice(None), slice(None), *cut)
        total[index] += part.reshape(count, group, -1, *sizes)
    inside = tuple(slice(b, n - e) for b, e, n in zip(pads[:rank], pads[rank:], full, strict=True))
    return total.reshape(count, -1, *full)[(slice(None), slice(None), *inside)].astype(np.int64)


def _by_element(weight: Array, group: int) -> NDArray[np.float64]:
    """Return `[*kernel, group, rows, columns]`, contiguous: BLAS has no strides within rows."""
    parts = weight.astype(np.float64).reshape(group, -1, *weight.shape[1:])
    return np.ascontiguousarray(np.moveaxis(parts, (0, 1, 2), (-3, -2, -1)))


def multiply(x: Array, weight: Array) -> I64:
    """Return the matrix product of integers `[..., K]` and `[K, N]`, exactly."""
    return np.asarray(np.matmul(x.astype(np.float64), weight.astype(np.float64))).astype(np.int64)


def integer_sum(
    node: onnx.NodeProto,
    attributes: Mapping[str, Any],
    inputs: Sequence[Array | None],
    mean: Callable[[onnx.NodeProto, Array], Array],
) -> Array:
    """Return the int64 sums of a node with its bias, or the float32 means of an AveragePool.

    Args:
        node: Conv, ConvTranspose, Gemm, MatMul or AveragePool.
        attributes: The node's attributes.
        inputs: int64 `q - offset`, int8 weight, int32 bias.
        mean: Function that computes an AveragePool.

    Raises:
        UnsupportedError: The operator is another one.
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
    total = _SUMS[node.op_type](attributes, x, weight)
    bias = rest[1] if len(rest) > 1 else None
    if bias is None:
        return total
    shape = (-1,) if total.ndim == 2 else (-1, *[1] * (total.ndim - 2))
    return total + bias.astype(np.int64).reshape(shape)


def _conv(attributes: Mapping[str, Any], x: Array, weight: Array) -> Array:
    rank = x.ndim - 2
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    totals = [
        max((-(-n // s) - 1) * s + span - n, 0)
        for n, s, span in zip(x.shape[2:], strides, spans, strict=True)
    ]
    geometry = ConvGeometry(
        strides=strides,
        pads=_pads(attributes, totals),
        dilations=dilations,
        group=attributes.get("group", 1),
    )
    return convolve(x, weight, geometry)


def _conv_transpose(attributes: Mapping[str, Any], x: Array, weight: Array) -> Array:
    rank = x.ndim - 2
    strides = attributes.get("strides", [1] * rank)
    output_padding = attributes.get("output_padding", [0] * rank)
    full = [
        (n - 1) * s + k + e
        for n, s, k, e in zip(x.shape[2:], strides, weight.shape[2:], output_padding, strict=True)
    ]
    sizes = attributes.get(
        "output_shape", [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
    )
    totals = [max(f - w, 0) for f, w in zip(full, sizes[-rank:], strict=True)]
    if "output_shape" in attributes and attributes.get("auto_pad", b"NOTSET") == b"NOTSET":
        # ONNX: the odd element is cut off in front
        attributes = {**attributes, "auto_pad": b"SAME_LOWER"}
    geometry = ConvGeometry(
        strides=strides,
        pads=_pads(attributes, totals),
        group=attributes.get("group", 1),
        output_padding=output_padding,
    )
    return transpose_convolve(x, weight, geometry)


def _pads(attributes: Mapping[str, Any], totals: Sequence[int]) -> list[int]:
    """Return the pads; those of `auto_pad` follow from the total padding of each axis."""
    mode = attributes.get("auto_pad", b"NOTSET")
    if mode == b"NOTSET":
        return list(attributes.get("pads", [0] * 2 * len(totals)))
    if mode == b"VALID":
        return [0] * 2 * len(totals)
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return less + more if mode == b"SAME_UPPER" else more + less


def _gemm(attributes: Mapping[str, Any], x: Array, weight: Array) -> Array:
    return multiply(x, weight.T if attributes.get("transB", 0) else weight)


_SUMS: Mapping[str, Callable[[Mapping[str, Any], Array, Array], Array]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda _, x, weight: multiply(x, weight),
}

"""Exact integer convolutions and products in numpy, as an int8 cube with int32 sums makes them."""

__all__ = ["convolve", "multiply", "transpose_convolve"]

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

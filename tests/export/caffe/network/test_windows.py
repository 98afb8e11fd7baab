"""Caffe's windows are ONNX's, element by element, for every small size and padding."""

from itertools import product

import pytest

from quant.export.caffe.network.windows import (
    Window,
    cropping_kernel,
    padded_kernel,
    pool_divisors,
)


def onnx_taps(
    length: int, kernel: int, stride: int, dilation: int, before: int, after: int
) -> object:
    """Return which elements each window of ONNX's Conv multiplies with each weight."""
    span = dilation * (kernel - 1) + 1
    starts = range(-before, length + after - span + 1, stride)
    return [
        [(k, s + k * dilation) for k in range(kernel) if 0 <= s + k * dilation < length]
        for s in starts
    ]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_a_grown_kernel_multiplies_the_same_elements(
    stride: int, kernel: int, dilation: int
) -> None:
    """The zeros that were added take no part, and every other weight meets what it met before."""
    for length, before, after in product(range(1, 12), range(-2, 4), range(-2, 4)):
        wanted = onnx_taps(length, kernel, stride, dilation, before, after)
        grown_kernel = padded_kernel(Window(length, kernel, stride, before, after, dilation))
        if not wanted:
            continue
        if grown_kernel is None:
            assert dilation > 1
            continue
        grown = kernel + grown_kernel.front + grown_kernel.back
        caffe_taps = onnx_taps(length, grown, stride, dilation, grown_kernel.pad, grown_kernel.pad)
        own = [
            [(k - grown_kernel.front, e) for k, e in w if 0 <= k - grown_kernel.front < kernel]
            for w in caffe_taps
        ]  # type: ignore[attr-defined]
        assert own == wanted


def test_pads_that_agree_need_no_zeros() -> None:
    """The ordinary convolution stays as it is."""
    grown_kernel = padded_kernel(Window(32, 3, 1, 1, 1))
    assert grown_kernel == padded_kernel(Window(224, 3, 2, 1, 1))
    assert grown_kernel is not None
    assert (grown_kernel.pad, grown_kernel.front, grown_kernel.back) == (1, 0, 0)


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_deconvolution_crops_both_sides_as_asked(dilation: int) -> None:
    """A kernel of K puts weight k of input i at i * stride + k; zeros in front move it on."""
    stride, kernel, length = 2, 3, 4
    full = stride * (length - 1) + dilation * (kernel - 1) + 1
    places = {(i, k): i * stride + k * dilation for i in range(length) for k in range(kernel)}
    for before, after in product(range(-1, 3), repeat=2):
        grown_kernel = cropping_kernel(dilation, before, after)
        if grown_kernel is None:
            assert (before - after) % dilation
            continue
        end = full + (grown_kernel.front + grown_kernel.back) * dilation - 2 * grown_kernel.pad
        seen = {p: n + grown_kernel.front * dilation - grown_kernel.pad for p, n in places.items()}
        assert seen == {p: n - before for p, n in places.items()}
        assert end == full - before - after


def test_onnx_rounds_the_windows_of_a_convolution_down() -> None:
    """112 rows, kernel 3, stride 2 and pad 1 have 56 windows: floor(111 / 2) + 1."""
    assert Window(112, 3, 2, 1, 1).count == 56


def test_an_average_counts_what_lies_inside() -> None:
    """Kernel 3, stride 2, pad 1 over 4 elements: windows from -1, 1 and 3."""
    window = Window(4, 3, 2, 1, 1)
    assert pool_divisors(window, (-1, 5), 3) == [3, 3, 2]
    assert pool_divisors(window, (0, 4), 3) == [2, 3, 1]

"""NNIE's limits on lengths, windows and groups of every layer."""

__all__ = ["check_limits"]

from typing import Any

from quant.export.caffe.network.blob import Refusal
from quant.export.caffe.network.read import MAX_LENGTH
from quant.export.caffe.network.shapes import Shape

MAX_GROUPS = 2048
"""Most groups of a convolution."""
MAX_PARAMETER = 255
"""Largest kernel, stride, dilation and pad."""
FIELDS = ("kernel_size", "kernel_h", "kernel_w", "stride", "stride_h", "stride_w", "dilation")
PADS = ("pad", "pad_h", "pad_w")


def check_limits(layer: Any, shapes: dict[str, Shape]) -> None:
    """Raise Refusal unless every length, weight and parameter of a layer is within NNIE's limits."""
    sizes = [n for top in layer.top for n in shapes[top][1:]]
    for blob in layer.blobs:
        # the K of an InnerProduct may be longer: only a warning, which the lint gives
        sizes += blob.shape.dim[:1] if layer.type == "InnerProduct" else blob.shape.dim
    if max(sizes, default=0) > MAX_LENGTH:
        raise Refusal(
            10,
            f"{max(sizes)} elements along an axis",
            f"at most {MAX_LENGTH}",
            "Make the layer narrower, or cut the network before this node.",
        )
    for param in (layer.convolution_param, layer.pooling_param):
        _check_window(param)


def _check_window(param: Any) -> None:
    """Raise Refusal for kernels, strides, dilations, pads and groups that are too large."""
    for field, value in param.ListFields():
        if field.name not in FIELDS + PADS:
            continue
        numbers = list(value) if field.is_repeated else [value]
        if max(numbers) > MAX_PARAMETER:
            raise Refusal(
                9,
                f"{field.name} {max(numbers)}",
                f"at most {MAX_PARAMETER}",
                "Use a smaller window, or several in a row.",
            )
    if param.DESCRIPTOR.name == "ConvolutionParameter" and param.group > MAX_GROUPS:
        raise Refusal(
            11,
            f"{param.group} groups",
            f"at most {MAX_GROUPS}",
            "Use fewer channels, or groups of several channels.",
        )

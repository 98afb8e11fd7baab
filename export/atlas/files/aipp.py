"""`aipp.cfg`: the preprocessing that the chip does, from uint8 pixels to the input tensor."""

__all__ = ["Aipp", "aipp_of", "aipp_text"]

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant.graph.prepared_graph import Graph
from quant.preprocess.image_to_tensor import Preprocess

FLOAT16_MAX = float(np.finfo(np.float16).max)
FLOAT16_TINY = float(np.finfo(np.float16).tiny)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aipp:
    """A static AIPP: ``out = (pixel - mean_chn - min_chn) * var_reci_chn``, after the channel swap.

    Attributes:
        format: "RGB888_U8" or "YUV400_U8".
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        swaps_red_blue: Red and blue are swapped, for a network that wants BGR.
        mean_integer: The integer part of each channel's mean, 0 to 255; stored exactly.
        mean_fraction: The rest of each channel's mean; stored in float16.
        reciprocal: 1 / std of each channel; stored in float16.
        error: The largest error of the input tensor that float16 causes, in the tensor's units.
    """

    format: str
    width: int
    height: int
    swaps_red_blue: bool
    mean_integer: tuple[int, ...]
    mean_fraction: tuple[float, ...]
    reciprocal: tuple[float, ...]
    error: float


def aipp_of(graph: Graph, preprocess: Preprocess | None) -> Aipp | str:
    """Return the AIPP of an export, or the reason why there is none, as a phrase.

    AIPP takes an image of the network's size: resize and crop stay on the host.
    """
    if preprocess is None:
        return "the inputs are no images"
    if len(graph.inputs) != 1:
        return f"AIPP is written for one input, and the network has {len(graph.inputs)}"
    count = 1 if preprocess.channels == "GRAY" else 3
    shape: list[Any] = list(graph.inputs[0].shape or ())
    if preprocess.layout != "NCHW" or len(shape) != 4:
        return "AIPP gives NCHW, and the network has another layout"
    if shape[1] != count:
        return f"the preprocessing makes {count} channels, and the input has {shape[1]}"
    width, height = preprocess.size or (None, None)
    height = shape[2] if isinstance(shape[2], int) else height
    width = shape[3] if isinstance(shape[3], int) else width
    if width is None or height is None:
        return "the size of the input is not fixed"
    described = preprocess.describe()
    mean, std = np.array(described["mean"], np.float64), np.array(described["std"], np.float64)
    integer_part = np.clip(np.floor(mean), 0, 255)
    fraction, reciprocal = mean - integer_part, 1.0 / std
    if np.abs(fraction).max() > FLOAT16_MAX or not np.all(
        (reciprocal >= FLOAT16_TINY) & (reciprocal <= FLOAT16_MAX)
    ):
        return "a mean or std is beyond float16, in which AIPP holds them"
    return Aipp(
        format="YUV400_U8" if count == 1 else "RGB888_U8",
        width=width,
        height=height,
        swaps_red_blue=preprocess.channels == "BGR",
        mean_integer=tuple(int(w) for w in integer_part),
        mean_fraction=tuple(float(r) for r in fraction),
        reciprocal=tuple(float(r) for r in reciprocal),
        error=_error(mean, std, integer_part),
    )


def _error(mean: Any, std: Any, integer_part: Any) -> float:
    pixels = np.arange(256.0)[:, None]
    fraction = (mean - integer_part).astype(np.float16).astype(np.float64)
    reciprocal = (1 / std).astype(np.float16).astype(np.float64)
    computed = (pixels - integer_part - fraction) * reciprocal
    return float(np.abs(computed - (pixels - mean) / std).max())


def aipp_text(aipp: Aipp) -> str:
    """Return `aipp.cfg`."""
    lines = [
        "aipp_mode : static",
        "related_input_rank : 0",
        f"input_format : {aipp.format}",
        f"src_image_size_w : {aipp.width}",
        f"src_image_size_h : {aipp.height}",
        "crop : false",
        "csc_switch : false",
        f"rbuv_swap_switch : {'true' if aipp.swaps_red_blue else 'false'}",
    ]
    for name, numbers in (
        ("mean_chn", aipp.mean_integer),
        ("min_chn", aipp.mean_fraction),
        ("var_reci_chn", aipp.reciprocal),
    ):
        lines += [f"{name}_{i} : {_number(n)}" for i, n in enumerate(numbers)]
    return "aipp_op {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _number(value: float) -> str:
    """Return a number without an exponent, which old AIPP parsers may not read; 9 digits or more."""
    if isinstance(value, int) or value == 0:
        return str(int(value))
    digits = max(0, 9 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")

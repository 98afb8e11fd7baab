"""AIPP: the preprocessing that the chip does itself, from uint8 pixels to the input tensor."""

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
    """A static AIPP: ``out = (pixel - mean_chn - min_chn) * var_reci_chn``, channels already swapped.

    Attributes:
        format: "RGB888_U8" or "YUV400_U8".
        width: Of the image, in pixels; `height` too.
        swap: Red and blue change places, for a network that wants BGR.
        whole: The integer part of each channel's mean, 0 to 255; held exactly.
        rest: What is left of the mean, held in float16.
        reciprocal: 1 / std of each channel, held in float16.
        error: The greatest difference that float16 makes to the input tensor, in its own units.
    """

    format: str
    width: int
    height: int
    swap: bool
    whole: tuple[int, ...]
    rest: tuple[float, ...]
    reciprocal: tuple[float, ...]
    error: float


def aipp_of(graph: Graph, preprocess: Preprocess | None) -> Aipp | str:
    """Return the AIPP of an export, or why there is none, as a phrase.

    AIPP takes an image of the network's size: resize and crop stay on the host.
    """
    if preprocess is None:
        return "the inputs are no images"
    if len(graph.inputs) != 1:
        return f"AIPP is written for one input, and the network has {len(graph.inputs)}"
    count = 1 if preprocess.channels == "GRAY" else 3
    shape: list[Any] = list(graph.inputs[0].shape or ())
    if preprocess.layout != "NCHW" or len(shape) != 4:
        return "AIPP gives NCHW, and the network wants another layout"
    if shape[1] != count:
        return f"the preprocessing makes {count} channels, and the input has {shape[1]}"
    width, height = preprocess.size or (None, None)
    height = shape[2] if isinstance(shape[2], int) else height
    width = shape[3] if isinstance(shape[3], int) else width
    if width is None or height is None:
        return "the size of the input is not fixed"
    told = preprocess.describe()
    mean, std = np.array(told["mean"], np.float64), np.array(told["std"], np.float64)
    whole = np.clip(np.floor(mean), 0, 255)
    rest, reciprocal = mean - whole, 1.0 / std
    if np.abs(rest).max() > FLOAT16_MAX or not np.all(
        (reciprocal >= FLOAT16_TINY) & (reciprocal <= FLOAT16_MAX)
    ):
        return "a mean or std is beyond float16, in which AIPP holds them"
    return Aipp(
        format="YUV400_U8" if count == 1 else "RGB888_U8",
        width=width,
        height=height,
        swap=preprocess.channels == "BGR",
        whole=tuple(int(w) for w in whole),
        rest=tuple(float(r) for r in rest),
        reciprocal=tuple(float(r) for r in reciprocal),
        error=_error(mean, std, whole),
    )


def _error(mean: Any, std: Any, whole: Any) -> float:
    pixels = np.arange(256.0)[:, None]
    rest = (mean - whole).astype(np.float16).astype(np.float64)
    reciprocal = (1 / std).astype(np.float16).astype(np.float64)
    made = (pixels - whole - rest) * reciprocal
    return float(np.abs(made - (pixels - mean) / std).max())


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
        f"rbuv_swap_switch : {'true' if aipp.swap else 'false'}",
    ]
    for name, numbers in (
        ("mean_chn", aipp.whole),
        ("min_chn", aipp.rest),
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

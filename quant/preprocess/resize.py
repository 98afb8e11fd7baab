"""Resize, crop and pad an image to a given size, and turn its pixels into numbers."""

__all__ = [
    "F32",
    "RESAMPLE",
    "RESIZED_LIMIT",
    "ResizeRule",
    "center_crop",
    "cover",
    "letterbox",
    "normalized",
    "resized",
]

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


RESIZED_LIMIT = 1 << 26
"""Pixels that a resized image may have before its crop: a 1x10000 strip would become 2 GB."""


Size = tuple[int, int]


def cover(size: Size, box: Size) -> Size:
    """Return the least size with the aspect ratio of `size` that covers `box`; (width, height).

    One side is exact, the other is rounded down, as torchvision does; for a square box this is
    "the shorter side becomes that long".

    Raises:
        ValueError: The result would have more than RESIZED_LIMIT pixels.

    >>> cover((640, 480), (256, 256))
    (341, 256)
    """
    (width, height), (wide, high) = size, box
    if wide * height >= high * width:
        new_size = (wide, wide * height // width)
    else:
        new_size = (high * width // height, high)
    if new_size[0] * new_size[1] > RESIZED_LIMIT:
        raise ValueError(
            f"too long for its width: {width}x{height} would grow to {new_size[0]}x{new_size[1]}"
        )
    return new_size


def center_crop(image: Image.Image, size: Size) -> Image.Image:
    """Return the middle `size` of an image that covers it; a half pixel goes to the even offset."""
    if image.size == size:
        return image
    left, top = (round((have - want) / 2) for have, want in zip(image.size, size, strict=True))
    return image.crop((left, top, left + size[0], top + size[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeRule:
    """How an image becomes one of another size; the words are explained at `Preprocess`.

    Attributes:
        resize: "shorter", "stretch" or "letterbox".
        crop: "center" or "none".
        short_side: The shorter side, in pixels, of the box that "shorter" covers and "stretch" fills;
            the box has the aspect ratio of the new size.
        pad: The pixel value of a letterbox's bars, 0 to 255.
        resample: Pillow's filter.
    """

    resize: str
    crop: str
    short_side: int
    pad: int
    resample: Image.Resampling


def resized(image: Image.Image, size: Size, rule: ResizeRule) -> Image.Image:
    """Return the image by a rule.

    Args:
        image: Of mode "RGB" or "L".
        size: (width, height) of the result; without a crop it is as large as the rule makes it.
        rule: The rule.

    Raises:
        ValueError: The resized image would have more than RESIZED_LIMIT pixels.
    """
    if rule.resize == "letterbox":
        return letterbox(image, size, rule.pad, rule.resample)
    short = min(size)
    box = (round(size[0] * rule.short_side / short), round(size[1] * rule.short_side / short))
    new_size = box if rule.resize == "stretch" else cover(image.size, box)
    if image.size != new_size:
        image = image.resize(new_size, rule.resample)
    return center_crop(image, size) if rule.crop == "center" else image


def letterbox(image: Image.Image, size: Size, pad: int, resample: Image.Resampling) -> Image.Image:
    """Return the whole image, scaled to fit `size` and centred on bars of the value `pad`.

    Args:
        image: Of mode "RGB" or "L".
        size: (width, height) of the result, in pixels.
        pad: The pixel value of the bars, 0 to 255.
        resample: Pillow's filter.
    """
    (width, height), (wide, high) = image.size, size
    scale = min(wide / width, high / height)
    new_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if image.size != new_size:
        image = image.resize(new_size, resample)
    if new_size == size:
        return image
    canvas = Image.new(image.mode, size, pad if image.mode == "L" else (pad, pad, pad))
    canvas.paste(image, ((wide - new_size[0]) // 2, (high - new_size[1]) // 2))
    return canvas


F32 = NDArray[np.float32]


def normalized(
    image: Image.Image, mean: tuple[float, ...], std: tuple[float, ...], *, reverse: bool = False
) -> F32:
    """Return an "RGB" or "L" image as float32 `[C, H, W]`: ``(pixel - mean) / std``.

    In double precision, rounded once: a table holds the result for each of the 256 pixel values.

    Args:
        image: The pixels, mode "RGB" or "L".
        mean: One value, or one for each channel, in the order of the result.
        std: As `mean`; none is 0.
        reverse: Whether the last channel comes first (RGB to BGR).
    """
    pixels = np.atleast_3d(np.asarray(image))[:, :, :: -1 if reverse else 1]
    tensor = np.empty((pixels.shape[2], *pixels.shape[:2]), np.float32)
    for i, plane in enumerate(tensor):
        table = _table(mean[i % len(mean)], std[i % len(std)])
        np.take(table, pixels[:, :, i], out=plane, mode="clip")
    return tensor


@lru_cache(maxsize=16)
def _table(mean: float, std: float) -> F32:
    return ((np.arange(256, dtype=np.float64) - mean) / std).astype(np.float32)

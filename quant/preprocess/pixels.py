"""Pixel arithmetic: 8-bit images as normalized float32 tensors."""

__all__ = ["F32", "normalized"]

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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

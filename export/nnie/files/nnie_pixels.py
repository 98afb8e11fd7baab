"""The pixels behind a calibration tensor, so that the mapper can be given the very pictures."""

__all__ = ["recovered"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Of a pixel's step: float32 arithmetic errs by 1e-5 of one, a value between pixels by far more."""


def recovered(
    tensor: NDArray[Any], mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.uint8] | None:
    """Return the pixels that `(pixel - mean) / std` was made from, or None if there are none.

    pixel = round(tensor * std + mean), accepted only where normalizing it again gives the tensor
    back: no value differs by more than a thousandth of a pixel's step.

    Args:
        tensor: float32 `[C, H, W]`.
        mean: In 0..255 units, a number a channel, in the tensor's order.
        std: As `mean`, greater than 0.

    Returns:
        uint8 `[C, H, W]`; None also where a value is not finite or not in 0..255.
    """
    shape = (len(mean), 1, 1)
    if tensor.ndim != 3 or len(tensor) != len(mean) or not np.all(np.isfinite(tensor)):
        return None
    middle, spread = np.reshape(mean, shape), np.reshape(std, shape)
    near = np.rint(tensor.astype(np.float64) * spread + middle)
    if near.size == 0 or near.min() < 0 or near.max() > 255:
        return None
    again = ((near - middle) / spread).astype(np.float32)
    off = np.abs(again.astype(np.float64) - tensor) * spread
    return near.astype(np.uint8) if off.max() <= TOLERANCE else None

"""The scales of Ascend's quantizers: their range, and how AscendDequant stores them."""

__all__ = ["LARGEST_SCALE", "SMALLEST_SCALE", "packed", "unpacked"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

SMALLEST_SCALE = float(np.finfo(np.float32).eps)
"""The least step that AMCT takes, 2**-23 (`parse_record_file.py`: FLT_EPSILON)."""

LARGEST_SCALE = 1.0 / SMALLEST_SCALE
"""The greatest step that AMCT takes, 2**23."""


def packed(scales: NDArray[Any]) -> NDArray[np.uint64]:
    """Return what AscendDequant's `deq_scale` holds: the float32's bits, the high 32 bits zero.

    The high bits are a shift N and a weight offset, which hand-made models must leave zero (CANN,
    "manual quantization"; GE `quant_host_cpu_op_common.h`).

    Args:
        scales: float32 `[C]`, input scale * weight scale.

    >>> packed(np.float32([0.02338948]) * np.float32(0.0013221765)).tolist()
    [939636093]
    """
    return np.asarray(scales, np.float32).view(np.uint32).astype(np.uint64)


def unpacked(stored: NDArray[np.uint64]) -> F32:
    """Return the float32 in the low 32 bits of each number.

    >>> float(unpacked(np.array([1065353216], np.uint64))[0])
    1.0
    """
    low = np.asarray(stored, np.uint64) & np.uint64(0xFFFFFFFF)
    return low.astype(np.uint32).view(np.float32)

"""How the mapper normalizes pixels, chosen so that the network sees the tensor it was trained on."""

__all__ = ["PLAIN", "Norm", "choose_norm"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.export.nnie.files.mapper_cfg import SMALLEST_SCALE


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """`(x - mean) * data_scale` of the mapper, and what is left over for the first layer.

    Attributes:
        norm_type: 0: x; 2: x - mean; 3: x * data_scale; 5: (x - mean) * data_scale.
        mean: A number a channel, in the order of the model's tensor.
        data_scale: One number for all channels, above 1/4096; 1.0 for norm_type 0 and 2.
        factors: float64 `[C]`, by which the tensor is what the mapper makes, in the order of the
            model's tensor: tensor[c] = factors[c] * (x[c] - mean[c]) * data_scale. None: all 1.
    """

    norm_type: int
    mean: tuple[float, ...] = ()
    data_scale: float = 1.0
    factors: NDArray[np.float64] | None = None


PLAIN = Norm(norm_type=0)
"""For what is no image: the tensor goes in as it is."""


def choose_norm(mean: Sequence[float], std: Sequence[float]) -> Norm:
    """Return how `(x - mean) / std` is split between the mapper and the first layer.

    `data_scale` is one number: std that differ by channel leave the quotient of each to the first
    layer's weights, from the middle std, as does a scale of 1/4096 or less. The mean always stays
    in the mean file: in the bias it would change the border that padding with zeros makes.

    Args:
        mean: In 0..255 units, a number a channel.
        std: As `mean`, greater than 0.

    >>> choose_norm([127.5], [128.0])
    Norm(norm_type=5, mean=(127.5,), data_scale=0.0078125, factors=None)
    """
    shift = tuple(float(m) for m in mean)
    spread = np.asarray(std, np.float64)
    middle = float(np.sort(spread)[len(spread) // 2])
    scale = 1.0 / middle
    factors: NDArray[Any] | None = None if np.all(spread == middle) else middle / spread
    if scale <= SMALLEST_SCALE:
        scale, factors = 1.0, 1.0 / spread
    moved, scaled = any(shift), scale != 1.0
    norm_type = {(0, 0): 0, (1, 0): 2, (0, 1): 3, (1, 1): 5}[int(moved), int(scaled)]
    return Norm(norm_type=norm_type, mean=shift, data_scale=scale, factors=factors)

"""A layer's integers while they are learned by gradients, with their scale.

    w  =  s exp(e) (q + d h(v)),     h(v) = clip(1.2 sigmoid(v) - 0.1, 0, 1)

q are integers that are there already, d = +1 or -1 points from each to the float weight, and h goes
from 0, the integer as it is, to 1, its neighbour: the rectified sigmoid of Nagel et al. 2020, "Up or
Down? Adaptive Rounding for Post-Training Quantization", equation 23. There h begins in between, at
the float weight; here it begins at 0, so that learning nothing changes nothing. The scale's factor
exp(e) is learned beside it.
"""

__all__ = ["SoftRounding"]

import torch

from quant.formats.number_format import Integer
from quant.improve.fit.layerwise_run import spread_to

Tensor = torch.Tensor

STRETCH = 1.2, -0.1
"""Factor and offset of the sigmoid, so that it reaches 0 and 1 (Nagel 2020, below equation 23)."""


class SoftRounding:
    """One layer's variables.

    Attributes:
        v: `[...]`, the rounding variables, in the weight's layout.
        e: `[]` or `[C]`, the logarithm of the scale's factor.
        frozen: bool `[...]`, which roundings are decided.

    Args:
        number: The weight's format: integers around zero.
        scale: float32, `[]` or `[C]`.
        on_grid: float32, the weight on its grid.
        exact: float32, the float weight.
    """

    def __init__(self, number: Integer, scale: Tensor, on_grid: Tensor, exact: Tensor) -> None:
        self.number, self._scale = number, scale
        unit = self._spread(scale, on_grid.dim())
        self._q = torch.clamp(torch.round(on_grid / unit), number.qmin, number.qmax)
        side = torch.where(exact / unit >= self._q, 1.0, -1.0)
        ends = (self._q + side > number.qmax) | (self._q + side < number.qmin)
        self._d = torch.where(ends, -side, side)
        nothing = torch.logit(torch.tensor(-STRETCH[1] / STRETCH[0])).item()
        self._end = -nothing
        self.v = torch.full_like(on_grid, nothing, requires_grad=True)
        self.e = torch.zeros_like(scale, requires_grad=True)
        self.frozen = torch.zeros_like(on_grid, dtype=torch.bool)
        self._fixed = torch.zeros_like(on_grid)

    def _spread(self, numbers: Tensor, rank: int) -> Tensor:
        return spread_to(numbers, self.number.axis, rank)

    def h(self) -> Tensor:
        """Return how far each weight is on its way to the neighbour, 0 to 1."""
        free = torch.sigmoid(self.v) * STRETCH[0] + STRETCH[1]
        # at an end the clip would have no gradient, and no rounding would ever leave it
        free = torch.clamp(free, 0, 1).detach() + (free - free.detach())
        return torch.where(self.frozen, self._fixed, free)

    def scale(self) -> Tensor:
        """Return the scale, float32 `[]` or `[C]`."""
        return self._scale * torch.exp(self.e)

    def weight(self) -> Tensor:
        """Return the weight as it is now, between grid points or on them."""
        return (self._q + self._d * self.h()) * self._spread(self.scale(), self.v.dim())

    def undecided(self) -> Tensor:
        """Return the sum of 1 - |2h - 1|^2: 0 where every rounding is decided (equation 24)."""
        return (1 - (2 * self.h() - 1) ** 2).sum()

    def hold(self) -> None:
        """Take variables that a step moved beyond the ends back to them."""
        with torch.no_grad():
            self.v.clamp_(-self._end, self._end)

    def settle(self, share: float) -> None:
        """Decide the share of all roundings that are nearest to 0 or 1; what is decided stays so.

        Later ones then make up for earlier ones, as in Li et al. 2024, "TesseraQ", section 3.2.
        """
        with torch.no_grad():
            h = self.h()
            sure = (h - 0.5).abs() + self.frozen
            count = round(share * h.numel())
            if count:
                least = torch.topk(sure.flatten(), count).values[-1]
                self.frozen |= sure >= least
                self._fixed = (h > 0.5).to(h.dtype)

    def integers(self) -> Tensor:
        """Return the integers with every rounding taken to the nearer end, float32."""
        with torch.no_grad():
            return self._q + self._d * (self.h() > 0.5)

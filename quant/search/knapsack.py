"""The knapsack: groups, precisions, and the error and cost of each choice."""

__all__ = ["Assignment", "Link", "Problem", "Shared"]

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Assignment = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A tensor whose readers may compute in another precision than its maker.

    Attributes:
        maker: The group that makes it.
        readers: The other groups that read it.
        costs: float64 `[K, K]`, by the maker's precision and the readers'; paid once for each
            precision that reads.
    """

    maker: int
    readers: tuple[int, ...]
    costs: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A tensor that several groups quantize, for everybody who reads it.

    Attributes:
        tensor: Its name.
        groups: Each of them alone quantizes it; several of one precision do it once.
        errors: float64 `[K]`, by their precision.
    """

    tensor: str
    groups: tuple[int, ...]
    errors: F64


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Groups and precisions, with the error and cost of each choice.

    Attributes:
        errors: float64 `[G, K]`, not negative; inf where a group cannot have a precision.
        costs: float64 `[G, K]`.
        shared: Errors of tensors between groups.
        links: Conversions, on the axis of `costs`.
        others: Further axes as `(costs [G, K], budget)`, without conversions.
        fixed: How many groups, the last ones, have nothing to choose: layers that are float anyway.
    """

    errors: F64
    costs: F64
    shared: tuple[Shared, ...] = ()
    links: tuple[Link, ...] = ()
    others: tuple[tuple[F64, float], ...] = field(default=())
    fixed: int = 0

    def error(self, chosen: Assignment) -> float:
        """Return the sum of the errors."""
        own = [float(self.errors[g, k]) for g, k in enumerate(chosen)]
        for tensor in self.shared:
            own += [float(tensor.errors[k]) for k in sorted({chosen[g] for g in tensor.groups})]
        return math.fsum(own)

    def alone(self, group: int, k: int) -> float:
        """Return the error where one group alone has a precision, the others making none."""
        shared = [float(t.errors[k]) for t in self.shared if group in t.groups]
        return math.fsum([float(self.errors[group, k]), *shared])

    def cost(self, chosen: Assignment) -> float:
        """Return the sum of the costs, conversions included."""
        own = [float(self.costs[g, k]) for g, k in enumerate(chosen)]
        for link in self.links:
            read = {chosen[reader] for reader in link.readers}
            own += [float(link.costs[chosen[link.maker], q]) for q in sorted(read)]
        return math.fsum(own)

    def fits(self, chosen: Assignment) -> bool:
        """Return whether an assignment keeps the further budgets."""
        return all(
            math.fsum(costs[g, k] for g, k in enumerate(chosen)) <= budget * (1 + 1e-9)
            for costs, budget in self.others
        )

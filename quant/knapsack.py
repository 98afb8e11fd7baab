"""Knapsack: the assignment of least error among those that cost no more than a budget, exactly.

A multiple-choice knapsack as an integer program, solved by HiGHS. Each group takes one precision;
errors add up, costs add up, and a tensor between two precisions pays for its conversion:

    minimize    sum_gk error[g, k] x[g, k]
    subject to  sum_k x[g, k] = 1,   x binary
                sum_gk cost[g, k] x[g, k] + sum_lq c[l, q] <= budget
                c[l, q] >= sum_p link_l[p, q] x[maker, p] - max_p link_l[p, q] (1 - x[reader, q])

for each reader of each link l, c >= 0. Source: Dong et al. 2020, "HAWQ-V3", equation 4, with the
conversions added; `scipy.optimize.milp`.
"""

__all__ = ["Link", "Problem", "solve"]

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from quant.silence import mute

F64 = NDArray[np.float64]
Assignment = tuple[int, ...]

SECONDS = 20.0
"""Time that one solution may take; what is found by then is the best that is known."""


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


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What there is to choose.

    Attributes:
        errors: float64 `[G, K]`, not negative; inf where a group cannot have a precision.
        costs: float64 `[G, K]`.
        links: Of one axis with `costs`.
        others: Further axes as `(costs [G, K], budget)`, without conversions.
        fixed: How many groups, the last ones, have nothing to choose: what is float in any case.
    """

    errors: F64
    costs: F64
    links: tuple[Link, ...] = ()
    others: tuple[tuple[F64, float], ...] = field(default=())
    fixed: int = 0

    def error(self, chosen: Assignment) -> float:
        """Return the sum of the errors."""
        return math.fsum(self.errors[g, k] for g, k in enumerate(chosen))

    def cost(self, chosen: Assignment) -> float:
        """Return the sum of the costs, conversions included."""
        own = [float(self.costs[g, k]) for g, k in enumerate(chosen)]
        for link in self.links:
            read = {chosen[reader] for reader in link.readers}
            own += [float(link.costs[chosen[link.maker], q]) for q in sorted(read)]
        return math.fsum(own)

    def fits(self, chosen: Assignment) -> bool:
        """Tell whether the further budgets hold."""
        return all(
            math.fsum(costs[g, k] for g, k in enumerate(chosen)) <= budget * (1 + 1e-9)
            for costs, budget in self.others
        )


def solve(
    problem: Problem, *, most_cost: float = math.inf, most_error: float = math.inf, cheapest: bool
) -> Assignment | None:
    """Return the cheapest, or the most exact assignment within both limits; None where none is.

    Args:
        problem: What there is to choose.
        most_cost: The budget.
        most_error: A bound that is known; it also keeps small errors visible beside great ones.
        cheapest: Minimize the cost instead of the error.
    """
    groups, count = problem.errors.shape
    allowed = np.isfinite(problem.errors) & (problem.errors <= most_error)
    if not np.all(allowed.any(axis=1)):
        return None
    size = groups * count
    own = np.where(allowed, problem.errors, 0.0).ravel()
    unit = most_error if 0 < most_error < math.inf else max(float(own.max()), 1e-300)
    errors = np.minimum(own / unit, 1e9)
    scale = max(float(np.abs(problem.costs).max()), 1e-300)
    extra, rows = _conversions(problem, size, scale)
    costs = np.concatenate([problem.costs.ravel() / scale, np.ones(extra)])
    errors = np.concatenate([errors, np.zeros(extra)])
    constraints = [_one_each(groups, count, extra), *rows]
    if most_cost < math.inf:
        constraints.append(LinearConstraint(costs[None], -np.inf, most_cost / scale))
    if most_error < math.inf:
        constraints.append(LinearConstraint(errors[None], -np.inf, most_error / unit))
    for other, budget in problem.others:
        row = np.concatenate([other.ravel() / budget, np.zeros(extra)])
        constraints.append(LinearConstraint(row[None], -np.inf, 1.0))
    upper = np.concatenate([allowed.ravel().astype(float), np.full(extra, np.inf)])
    with mute():
        found = milp(
            costs if cheapest else errors,
            integrality=np.concatenate([np.ones(size), np.zeros(extra)]),
            bounds=Bounds(0, upper),
            constraints=constraints,
            options={"mip_rel_gap": 0.0, "time_limit": SECONDS},
        )
    if found.x is None:
        return None
    return tuple(int(k) for k in found.x[:size].reshape(groups, count).argmax(axis=1))


def _one_each(groups: int, count: int, extra: int) -> LinearConstraint:
    rows, columns = np.repeat(np.arange(groups), count), np.arange(groups * count)
    shape = (groups, groups * count + extra)
    return LinearConstraint(
        coo_array((np.ones(groups * count), (rows, columns)), shape=shape).tocsc(), 1, 1
    )


def _conversions(
    problem: Problem, size: int, scale: float
) -> tuple[int, Sequence[LinearConstraint]]:
    """Return how many conversion variables there are, and what holds of them."""
    count = problem.errors.shape[1]
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    least: list[float] = []
    extra = 0
    for link in problem.links:
        for q in range(count):
            if not np.any(link.costs[:, q] > 0):
                continue
            top = float(link.costs[:, q].max()) / scale
            for reader in link.readers:
                row = len(least)
                entries = [(size + extra, 1.0), (reader * count + q, -top)]
                entries += [
                    (link.maker * count + p, -float(link.costs[p, q]) / scale) for p in range(count)
                ]
                for column, value in entries:
                    rows.append(row)
                    columns.append(column)
                    values.append(value)
                least.append(-top)
            extra += 1
    if not least:
        return 0, []
    matrix = coo_array((values, (rows, columns)), shape=(len(least), size + extra)).tocsc()
    return extra, [LinearConstraint(matrix, np.array(least), np.inf)]

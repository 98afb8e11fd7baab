"""The assignment of least error among those that cost no more than a budget, exactly.

A multiple-choice knapsack as an integer program for HiGHS. Each group takes one precision; errors
add up, costs add up, and a tensor between two precisions pays for its conversion:

    minimize    sum_gk error[g, k] x[g, k] + sum_tk shared_t[k] z[t, k]
    subject to  sum_k x[g, k] = 1,   x binary
                z[t, k] >= x[g, k]                          each group g that quantizes tensor t
                sum_gk cost[g, k] x[g, k] + sum_lq c[l, q] <= budget
                c[l, q] >= sum_p link_l[p, q] x[maker, p] - max_p link_l[p, q] (1 - x[reader, q])

with z, c >= 0. Source: Dong et al. 2020, "HAWQ-V3", equation 4, with conversions and shared
tensors added; `scipy.optimize.milp`.
"""

__all__ = ["solve"]

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from quant.common.silence import mute
from quant.search.knapsack import Assignment, Link, Problem, Shared

F64 = NDArray[np.float64]

MAX_SECONDS = 20.0
"""Time that one solution may take; the best assignment by then is returned."""

MAX_ERROR = 1e9
"""Greatest error in units of the bound: HiGHS wants no wider range."""


def solve(
    problem: Problem, *, most_cost: float = math.inf, most_error: float = math.inf, cheapest: bool
) -> Assignment | None:
    """Return the cheapest, or the most exact assignment within both limits; None where none is.

    Args:
        problem: Groups, precisions, errors and costs.
        most_cost: The budget.
        most_error: A bound that is known; it also keeps small errors visible beside great ones.
        cheapest: Minimize the cost instead of the error.
    """
    allowed = np.isfinite(problem.errors) & (problem.errors <= most_error)
    if not np.all(allowed.any(axis=1)):
        return None
    program = _Program(problem, allowed, _unit(problem, allowed, most_error))
    program.limit(program.costs, most_cost / program.scale)
    program.limit(program.errors, most_error / program.unit)
    for costs, budget in problem.others:
        program.limit(dict(enumerate((costs / budget).ravel().tolist())), 1.0)
    solution = program.solved(program.costs if cheapest else program.errors)
    if solution is None:
        return None
    chosen = solution[: problem.errors.size].reshape(problem.errors.shape).argmax(axis=1)
    return tuple(int(k) for k in chosen)


def _unit(problem: Problem, allowed: NDArray[np.bool_], most_error: float) -> float:
    """Return what errors are divided by: the bound, or the greatest of them."""
    if 0 < most_error < math.inf:
        return most_error
    shared = [float(t.errors.max(initial=0.0)) for t in problem.shared]
    return max(float(problem.errors[allowed].max(initial=0.0)), *shared, 1e-300)


class _Program:
    """An integer program that grows: first x[g, k], behind them continuous variables."""

    def __init__(self, problem: Problem, allowed: NDArray[np.bool_], unit: float) -> None:
        self.unit, self.scale = unit, max(float(np.abs(problem.costs).max()), 1e-300)
        self._count = int(problem.errors.shape[1])
        self._binary = problem.errors.size
        self._upper = allowed.ravel().astype(float).tolist()
        self._rows: list[tuple[dict[int, float], float, float]] = []
        own = np.minimum(np.where(allowed, problem.errors, 0.0) / unit, MAX_ERROR)
        self.errors = dict(enumerate(own.ravel().tolist()))
        self.costs = dict(enumerate((problem.costs / self.scale).ravel().tolist()))
        for g in range(len(problem.errors)):
            self._rows.append(({self._x(g, k): 1.0 for k in range(self._count)}, 1.0, 1.0))
        for tensor in problem.shared:
            self._share(tensor)
        for link in problem.links:
            self._link(link)

    def _x(self, group: int, k: int) -> int:
        return group * self._count + k

    def _fresh(self) -> int:
        """Add a continuous variable from 0 on, and return its column."""
        self._upper.append(math.inf)
        return len(self._upper) - 1

    def _share(self, tensor: Shared) -> None:
        for k, error in enumerate(tensor.errors.tolist()):
            if error > 0:
                z = self._fresh()
                self.errors[z] = min(error / self.unit, MAX_ERROR)
                for g in tensor.groups:
                    self._rows.append(({z: 1.0, self._x(g, k): -1.0}, 0.0, math.inf))

    def _link(self, link: Link) -> None:
        for q in range(self._count):
            costs = (link.costs[:, q] / self.scale).tolist()
            top = max(costs)
            if top <= 0:
                continue
            c = self._fresh()
            self.costs[c] = 1.0
            for reader in link.readers:
                row = {c: 1.0, self._x(reader, q): -top}
                row |= {self._x(link.maker, p): -cost for p, cost in enumerate(costs)}
                self._rows.append((row, -top, math.inf))

    def limit(self, row: dict[int, float], most: float) -> None:
        """Keep a sum under a limit; inf for none."""
        if most < math.inf:
            self._rows.append((row, -math.inf, most))

    def solved(self, objective: dict[int, float]) -> F64 | None:
        """Return the variables that make a sum least, or None where nothing is feasible."""
        size = len(self._upper)
        entries: Iterable[tuple[int, int, float]] = (
            (number, column, value)
            for number, (row, _, _) in enumerate(self._rows)
            for column, value in row.items()
        )
        rows, columns, values = zip(*entries, strict=True)
        matrix = coo_array((values, (rows, columns)), shape=(len(self._rows), size)).tocsc()
        low, high = (np.array([row[i] for row in self._rows]) for i in (1, 2))
        coefficients = np.zeros(size)
        coefficients[list(objective)] = list(objective.values())
        with mute():
            result = milp(
                coefficients,
                integrality=np.arange(size) < self._binary,
                bounds=Bounds(0, np.array(self._upper)),
                constraints=LinearConstraint(matrix, low, high),
                options={"mip_rel_gap": 0.0, "time_limit": MAX_SECONDS},
            )
        return None if result.x is None else np.asarray(result.x)

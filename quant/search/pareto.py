"""The Pareto front: the assignments that no other one beats in both error and cost."""

__all__ = [
    "BETWEEN",
    "POINTS",
    "Point",
    "between",
    "by_sensitivity",
    "greedy",
    "pareto",
    "point",
    "undominated",
    "uniform",
]

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from quant.search.knapsack import Assignment, Problem
from quant.search.solve import solve

POINTS = 64
"""Budgets that are tried, evenly from the cheapest plan to the most exact one."""

MIN_GAIN = 0.01
"""Share of the error that a point of the front must gain over the one before it: 0.04 dB."""

BETWEEN = 16
"""Budgets that are tried between two points of the front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One assignment under the additive model.

    Attributes:
        chosen: By group the number of its precision.
        error: Sum of the errors.
        cost: Sum of the costs, conversions included.
    """

    chosen: Assignment
    error: float
    cost: float


def point(problem: Problem, chosen: Assignment) -> Point:
    """Return an assignment with its error and cost."""
    return Point(chosen=chosen, error=problem.error(chosen), cost=problem.cost(chosen))


def pareto(problem: Problem, points: int = POINTS) -> list[Point]:
    """Return the front, cheapest first: error falls strictly while cost rises.

    Each point has the least error of all assignments that cost no more than its budget, and of
    those the least cost. Points that gain less than 1 % of the error before them are left out, but
    the last. Empty where no assignment keeps the other budgets.
    """
    first = _exact(problem, solve(problem, cheapest=True), math.inf)
    if first is None:
        return []
    front = {first.chosen: first}
    last = _cheap(problem, solve(problem, most_error=first.error, cheapest=False), math.inf)
    if last is None or last.error >= first.error:
        return [first]
    front[last.chosen] = last
    bound = first.error
    for budget in np.linspace(first.cost, last.cost, points + 1)[1:-1].tolist():
        best = solve(problem, most_cost=budget, most_error=bound, cheapest=False)
        candidate = _cheap(problem, best, budget)
        if candidate is not None:
            front.setdefault(candidate.chosen, candidate)
            bound = min(bound, candidate.error)
    return _without_small_gains(undominated(front.values()))


def _without_small_gains(points: Sequence[Point]) -> list[Point]:
    """Return the points without those that gain less than 1 % of the error, but the last."""
    kept = list(points[:1])
    for candidate in points[1:]:
        if candidate.error <= kept[-1].error * (1 - MIN_GAIN) or candidate is points[-1]:
            kept.append(candidate)
    return kept


def between(problem: Problem, low: Point, high: Point, points: int = BETWEEN) -> list[Point]:
    """Return the front from one of its points to the next, both included, at finer budgets."""
    points_between = [low, high]
    for budget in np.linspace(low.cost, high.cost, points + 1)[1:-1].tolist():
        best = solve(problem, most_cost=budget, most_error=low.error, cheapest=False)
        candidate = _cheap(problem, best, budget)
        points_between += [candidate] if candidate is not None else []
    return undominated(points_between)


def _exact(problem: Problem, chosen: Assignment | None, most: float) -> Point | None:
    """Return the most exact of the assignments that cost no more than this one."""
    if chosen is None:
        return None
    given = point(problem, chosen)
    better = solve(
        problem,
        most_cost=given.cost * (1 + 1e-9),
        most_error=min(given.error, most),
        cheapest=False,
    )
    other = point(problem, better) if better is not None else given
    return min(given, other, key=lambda p: (p.cost > given.cost * (1 + 1e-9), p.error, p.cost))


def _cheap(problem: Problem, chosen: Assignment | None, budget: float) -> Point | None:
    """Return the cheapest of the assignments that err no more than this one."""
    if chosen is None:
        return None
    given = point(problem, chosen)
    better = solve(problem, most_cost=budget, most_error=given.error * (1 + 1e-9), cheapest=True)
    other = point(problem, better) if better is not None else given
    return min(given, other, key=lambda p: (p.error > given.error * (1 + 1e-9), p.cost, p.error))


def undominated(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other beats in both, cheapest first."""
    kept: list[Point] = []
    for candidate in sorted(points, key=lambda p: (p.cost, p.error, p.chosen)):
        if not kept or candidate.error < kept[-1].error:
            kept.append(candidate)
    return kept


def greedy(problem: Problem) -> list[Point]:
    """Return the path from the cheapest assignment by the best gain for its cost, one step each.

    Each step raises one group to the precision with the greatest fall of the error per cost, as in
    AIMET and NNCF; the path is compared with the front, and gives further candidates.
    """
    first = solve(problem, cheapest=True)
    path = [point(problem, first)] if first is not None else []
    while path:
        here = path[-1]
        steps = []
        for g, k in np.ndindex(*problem.errors.shape):
            if problem.errors[g, k] == math.inf or g >= len(here.chosen) - problem.fixed:
                continue
            candidate = point(problem, (*here.chosen[:g], int(k), *here.chosen[g + 1 :]))
            gain = here.error - candidate.error
            if gain > 0 and problem.fits(candidate.chosen):
                rise = candidate.cost - here.cost
                steps.append((gain / rise if rise > 0 else math.inf, -rise, gain, candidate))
        if not steps:
            break
        path.append(max(steps, key=lambda s: s[:3])[3])
    return path


def by_sensitivity(problem: Problem) -> list[Point]:
    """Return the path that raises groups to their most exact precision, the worst one first."""
    first = solve(problem, cheapest=True)
    if first is None:
        return []
    path = [point(problem, first)]
    order = sorted(range(len(first)), key=lambda g: -problem.alone(g, first[g]))
    for g in order:
        best = int(problem.errors[g].argmin())
        here = path[-1].chosen
        chosen = (*here[:g], best, *here[g + 1 :])
        if best != here[g] and problem.fits(chosen):
            path.append(point(problem, chosen))
    return path


def uniform(problem: Problem) -> list[Point]:
    """Return the assignments of one precision for all groups, where that is allowed."""
    groups, count = problem.errors.shape
    free = groups - problem.fixed
    rest = tuple(int(k) for k in problem.errors[free:].argmin(axis=1))
    every = [(k,) * free + rest for k in range(count)]
    kept = [c for c in every if math.isfinite(problem.error(c)) and problem.fits(c)]
    return [point(problem, chosen) for chosen in kept]

"""Front: the assignments that no other one beats in both error and cost."""

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

GAIN = 0.01
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
    """Return an assignment with what it costs and errs."""
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
    found = {first.chosen: first}
    last = _cheap(problem, solve(problem, most_error=first.error, cheapest=False), math.inf)
    if last is None or last.error >= first.error:
        return [first]
    found[last.chosen] = last
    bound = first.error
    for budget in np.linspace(first.cost, last.cost, points + 1)[1:-1].tolist():
        best = solve(problem, most_cost=budget, most_error=bound, cheapest=False)
        made = _cheap(problem, best, budget)
        if made is not None:
            found.setdefault(made.chosen, made)
            bound = min(bound, made.error)
    return _told_apart(undominated(found.values()))


def _told_apart(points: Sequence[Point]) -> list[Point]:
    """Return the points without those that say nothing new."""
    found = list(points[:1])
    for one in points[1:]:
        if one.error <= found[-1].error * (1 - GAIN) or one is points[-1]:
            found.append(one)
    return found


def between(problem: Problem, low: Point, high: Point, points: int = BETWEEN) -> list[Point]:
    """Return the front from one of its points to the next, both included, at finer budgets."""
    found = [low, high]
    for budget in np.linspace(low.cost, high.cost, points + 1)[1:-1].tolist():
        best = solve(problem, most_cost=budget, most_error=low.error, cheapest=False)
        made = _cheap(problem, best, budget)
        found += [made] if made is not None else []
    return undominated(found)


def _exact(problem: Problem, chosen: Assignment | None, most: float) -> Point | None:
    """Return the most exact of the assignments that cost no more than this one."""
    if chosen is None:
        return None
    one = point(problem, chosen)
    better = solve(
        problem, most_cost=one.cost * (1 + 1e-9), most_error=min(one.error, most), cheapest=False
    )
    other = point(problem, better) if better is not None else one
    return min(one, other, key=lambda p: (p.cost > one.cost * (1 + 1e-9), p.error, p.cost))


def _cheap(problem: Problem, chosen: Assignment | None, budget: float) -> Point | None:
    """Return the cheapest of the assignments that err no more than this one."""
    if chosen is None:
        return None
    one = point(problem, chosen)
    better = solve(problem, most_cost=budget, most_error=one.error * (1 + 1e-9), cheapest=True)
    other = point(problem, better) if better is not None else one
    return min(one, other, key=lambda p: (p.error > one.error * (1 + 1e-9), p.cost, p.error))


def undominated(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other beats in both, cheapest first."""
    found: list[Point] = []
    for one in sorted(points, key=lambda p: (p.cost, p.error, p.chosen)):
        if not found or one.error < found[-1].error:
            found.append(one)
    return found


def greedy(problem: Problem) -> list[Point]:
    """Return the path from the cheapest assignment by the best gain for its cost, one step each.

    Each step raises one group to the precision with the greatest fall of the error per cost. What
    AIMET and NNCF do; it is here to be compared with, and as a second list of candidates.
    """
    now = solve(problem, cheapest=True)
    found = [point(problem, now)] if now is not None else []
    while found:
        here = found[-1]
        steps = []
        for g, k in np.ndindex(*problem.errors.shape):
            if problem.errors[g, k] == math.inf or g >= len(here.chosen) - problem.fixed:
                continue
            made = point(problem, (*here.chosen[:g], int(k), *here.chosen[g + 1 :]))
            gain = here.error - made.error
            if gain > 0 and problem.fits(made.chosen):
                rise = made.cost - here.cost
                steps.append((gain / rise if rise > 0 else math.inf, -rise, gain, made))
        if not steps:
            break
        found.append(max(steps, key=lambda s: s[:3])[3])
    return found


def by_sensitivity(problem: Problem) -> list[Point]:
    """Return the path that raises groups to their most exact precision, the worst one first."""
    now = solve(problem, cheapest=True)
    if now is None:
        return []
    found = [point(problem, now)]
    order = sorted(range(len(now)), key=lambda g: -problem.alone(g, now[g]))
    for g in order:
        best = int(problem.errors[g].argmin())
        here = found[-1].chosen
        made = (*here[:g], best, *here[g + 1 :])
        if best != here[g] and problem.fits(made):
            found.append(point(problem, made))
    return found


def uniform(problem: Problem) -> list[Point]:
    """Return the assignments of one precision for all groups, where that is allowed."""
    groups, count = problem.errors.shape
    free = groups - problem.fixed
    rest = tuple(int(k) for k in problem.errors[free:].argmin(axis=1))
    every = [(k,) * free + rest for k in range(count)]
    kept = [c for c in every if math.isfinite(problem.error(c)) and problem.fits(c)]
    return [point(problem, chosen) for chosen in kept]

"""Find the cheapest assignment of precisions that is accurate enough, or the best within a budget.

The Pareto front of the additive model says in what order to look; the network itself, measured on
samples, says where to stop. On the front bisection finds the cheapest plan that is good enough;
then cheaper plans elsewhere (greedy paths, one precision for all, one group less) are measured too.
"""

__all__ = ["BestPlan", "SearchBudget", "SearchSpace", "find_cheapest", "most_measured", "space_of"]

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from quant.search.knapsack import Assignment, Problem
from quant.search.measured_plans import MeasuredPlans, PlanLimits, PlanScore
from quant.search.pareto import (
    BETWEEN,
    POINTS,
    Point,
    between,
    by_sensitivity,
    greedy,
    pareto,
    point,
    uniform,
)

REPAIRS = 6
"""Assignments that are measured below the winner, and then with one group less than it."""

BUDGET_POINTS = 3
"""Points of the front that are measured where only the cost is limited."""

TOLERANCE = 1e-9
"""Relative difference of costs that is rounding."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Where a search looks.

    Attributes:
        problem: The additive model on the axis that is weighed against the error.
        front: Its Pareto front, cheapest first.
        greedy: The paths that other tools take, cheapest first.
        uniform: One precision for all.
        float_precisions: Numbers of the precisions without grids; where all groups have one,
            nothing is quantized and there is nothing to measure.
    """

    problem: Problem
    front: tuple[Point, ...]
    greedy: tuple[tuple[Point, ...], ...]
    uniform: tuple[Point, ...]
    float_precisions: frozenset[int] = frozenset()

    def float_only(self, chosen: Assignment) -> bool:
        """Return whether an assignment quantizes nothing."""
        return set(chosen[: len(chosen) - self.problem.fixed]) <= self.float_precisions


@dataclass(kw_only=True)
class BestPlan:
    """The best assignment so far, and all that were measured.

    Attributes:
        point: The best; None where nothing was measured.
        score: What it measures.
        kept: Whether it is within all limits.
        measured: Every assignment that was measured, in order.
        stopped: Whether the time ended before the search did.
    """

    point: Point | None = None
    score: PlanScore | None = None
    kept: bool = False
    measured: list[tuple[Point, PlanScore]] = field(default_factory=list)
    stopped: bool = False

    def has_measured(self, chosen: Assignment) -> bool:
        """Return whether an assignment was measured."""
        return any(point.chosen == chosen for point, _ in self.measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBudget:
    """What a plan may cost, and a search take.

    Attributes:
        cost: On the axis of the space.
        seconds: No new assignment is measured after that time.
        clock: Seconds that never go back.
    """

    cost: float = math.inf
    seconds: float = math.inf
    clock: Callable[[], float] = time.monotonic

    def allows(self, point: Point) -> bool:
        """Return whether an assignment is within the budget."""
        return point.cost <= self.cost * (1 + TOLERANCE)


UNLIMITED = SearchBudget()


def most_measured(space: SearchSpace) -> int:
    """Return about how many plans a search measures at most: for a progress line."""
    lists = (space.front, *space.greedy)
    steps = sum(2 + math.ceil(math.log2(max(len(points), 2))) for points in lists)
    return steps + math.ceil(math.log2(BETWEEN)) + len(space.uniform) + 2 * REPAIRS


class _TimeOver(Exception):
    """The search has used its seconds."""


def space_of(
    problem: Problem, float_precisions: Iterable[int] = (), points: int = POINTS
) -> SearchSpace:
    """Return where to look for an assignment.

    Args:
        problem: The additive model.
        float_precisions: Numbers of the precisions without grids.
        points: Budgets for which the front is computed.
    """
    return SearchSpace(
        problem=problem,
        front=tuple(pareto(problem, points)),
        greedy=(tuple(greedy(problem)), tuple(by_sensitivity(problem))),
        uniform=tuple(uniform(problem)),
        float_precisions=frozenset(float_precisions),
    )


def find_cheapest(
    space: SearchSpace,
    plans: MeasuredPlans,
    limits: PlanLimits,
    budget: SearchBudget = UNLIMITED,
    on_better: Callable[[Point], None] | None = None,
) -> BestPlan:
    """Return the cheapest assignment within the limits; without limits the best within the budget.

    The result depends on the scores alone, unless the time ends first: then it is the best that
    was measured.

    Args:
        space: Where to look.
        plans: Measures an assignment.
        limits: How good it must be; both None to get the best for the cost.
        budget: Cost and seconds.
        on_better: Called with each better one as it is found: to write it.
    """
    search = _Search(space, plans, limits, budget, budget.clock() + budget.seconds, on_better)
    try:
        if limits.max_drop is None and limits.min_sqnr is None:
            search.find_best()
        else:
            search.find_cheapest()
    except _TimeOver:
        search.best.stopped = True
    return search.best


@dataclass
class _Search:
    """One search; `best` is its state."""

    space: SearchSpace
    plans: MeasuredPlans
    limits: PlanLimits
    budget: SearchBudget
    end: float
    on_better: Callable[[Point], None] | None
    best: BestPlan = field(default_factory=BestPlan)

    def measure(self, chosen: Assignment) -> bool:
        """Measure an assignment, keep it if it is the best so far; return if it is good enough."""
        if self.space.float_only(chosen):
            return True
        spent = self.best.measured and self.budget.clock() >= self.end
        if spent and not self.plans.known(chosen):
            raise _TimeOver
        score, candidate = self.plans(chosen), point(self.space.problem, chosen)
        good = self.limits.kept(score)
        if not self.best.has_measured(chosen):
            self.best.measured.append((candidate, score))
        if self._is_better(candidate, score, good):
            self.best.point, self.best.score, self.best.kept = candidate, score, good
            if self.on_better is not None:
                self.on_better(candidate)
        return good

    def _is_better(self, candidate: Point, score: PlanScore, good: bool) -> bool:
        """Return whether a plan is better than the best: within limits, then cheap, then exact."""
        best, best_score = self.best.point, self.best.score
        if best is None or best_score is None:
            return True
        if best.chosen == candidate.chosen:
            return False
        if self.budget.allows(candidate) != self.budget.allows(best):
            return self.budget.allows(candidate)
        limited = self.limits.max_drop is not None or self.limits.min_sqnr is not None
        if good != self.best.kept:
            return good
        order, best_order = self.limits.order(score), self.limits.order(best_score)
        if limited and good:
            return (candidate.cost, -order[1]) < (best.cost, -best_order[1])
        return order > best_order

    def affordable(self, points: Sequence[Point]) -> list[Point]:
        """Return the points within the budget; the cheapest of all where none is."""
        return [p for p in points if self.budget.allows(p)] or list(points[:1])

    def find_cheapest(self) -> None:
        """Find the cheapest assignment that is good enough."""
        points = self.affordable(self.space.front)
        high = self.bisect(points)
        if 0 < high < len(points):  # the front has more points than were computed
            self.bisect(between(self.space.problem, points[high - 1], points[high]))
        for candidate in self.space.uniform:
            if self._could_win(candidate):
                self.measure(candidate.chosen)
        for path in self.space.greedy:
            self.bisect([p for p in path if self._could_win(p)])
        if self.best.kept:
            self.measure_below()
            self.measure_neighbours()

    def _could_win(self, candidate: Point) -> bool:
        """Return whether a point is within the budget, and cheaper than the best where that is kept."""
        if not self.budget.allows(candidate):
            return False
        best = self.best.point
        return best is None or not self.best.kept or candidate.cost < best.cost * (1 - TOLERANCE)

    def bisect(self, points: Sequence[Point]) -> int:
        """Measure points in order of cost, as if errors fell along them.

        Returns the first that is good enough as far as is known; their number where none is.
        """
        if not points or self.measure(points[0].chosen):
            return 0
        if len(points) == 1 or not self.measure(points[-1].chosen):
            return len(points)
        low, high = 0, len(points) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.measure(points[middle].chosen):
                high = middle
            else:
                low = middle
        return high

    def measure_below(self) -> None:
        """Measure the most exact of the cheaper points that were passed over: errors fall by and large."""
        every = {p.chosen: p for path in (self.space.front, *self.space.greedy) for p in path}
        for _ in range(REPAIRS):
            candidates = [
                p
                for p in every.values()
                if self._could_win(p) and not self.best.has_measured(p.chosen)
            ]
            if not candidates:
                return
            self.measure(min(candidates, key=lambda p: (p.error, p.cost, p.chosen)).chosen)

    def measure_neighbours(self) -> None:
        """Take precision from one group at a time, where the model says it saves most for its error."""
        for _ in range(REPAIRS):
            neighbours = self._cheaper_neighbours(self.best.point)
            new = (p for p in neighbours if not self.best.has_measured(p.chosen))
            step = next(new, None)
            if step is None:
                return
            self.measure(step.chosen)

    def _cheaper_neighbours(self, best: Point | None) -> list[Point]:
        """Return the cheaper neighbours of a point, the most promising first."""
        if best is None:
            return []
        problem, neighbours = self.space.problem, []
        count = problem.errors.shape[1]
        for g in range(len(best.chosen) - problem.fixed):
            for k in range(count):
                if k == best.chosen[g] or problem.errors[g, k] == float("inf"):
                    continue
                step = point(problem, (*best.chosen[:g], k, *best.chosen[g + 1 :]))
                if step.cost < best.cost * (1 - TOLERANCE) and problem.fits(step.chosen):
                    neighbours.append(step)
        return sorted(
            neighbours, key=lambda p: ((p.error - best.error) / (best.cost - p.cost), p.chosen)
        )

    def find_best(self) -> None:
        """Find the most exact assignment within the budget."""
        for points in (self.space.front, *self.space.greedy, self.space.uniform):
            ordered = sorted(self.affordable(points), key=lambda p: (p.error, p.cost))
            for candidate in ordered[: BUDGET_POINTS if points is self.space.front else 1]:
                self.measure(candidate.chosen)

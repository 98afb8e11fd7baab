"""Search: the cheapest assignment of precisions that is accurate enough, or the best that is paid for.

The Pareto front of the additive model says in what order to look; the network itself, measured on
samples, says where to stop. On the front bisection finds the cheapest plan that is good enough;
then what is cheaper elsewhere (greedy paths, one precision for all, one group less) is asked too.
"""

__all__ = ["BestPlan", "SearchSpace", "find_cheapest", "most_asked", "space_of"]

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
"""Assignments that are asked below the winner, and then with one group less than it."""

RIVALS = 3
"""Points of the front that are measured where only the cost is limited."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Where a search looks.

    Attributes:
        problem: The additive model on the axis that is paid for.
        front: Its Pareto front, cheapest first.
        greedy: Paths that other tools go, cheapest first.
        uniform: One precision for all.
        plain: Numbers of the precisions without grids; where all groups have one, nothing is
            quantized and there is nothing to measure.
    """

    problem: Problem
    front: tuple[Point, ...]
    greedy: tuple[tuple[Point, ...], ...]
    uniform: tuple[Point, ...]
    plain: frozenset[int] = frozenset()

    def float_only(self, chosen: Assignment) -> bool:
        """Tell whether an assignment quantizes nothing."""
        return set(chosen[: len(chosen) - self.problem.fixed]) <= self.plain


@dataclass(kw_only=True)
class BestPlan:
    """What a search found.

    Attributes:
        point: The winner; None where nothing was measured.
        answer: What it measures.
        kept: Whether it is within all limits.
        asked: Every assignment that was measured, in order.
        stopped: Whether the time ended before the search did.
    """

    point: Point | None = None
    answer: PlanScore | None = None
    kept: bool = False
    asked: list[tuple[Point, PlanScore]] = field(default_factory=list)
    stopped: bool = False


def most_asked(space: SearchSpace) -> int:
    """Return how many plans a search measures at most, a few more or less: for a progress line."""
    lists = (space.front, *space.greedy)
    steps = sum(2 + math.ceil(math.log2(max(len(points), 2))) for points in lists)
    return steps + math.ceil(math.log2(BETWEEN)) + len(space.uniform) + 2 * REPAIRS


class _Enough(Exception):
    """The time is over."""


def space_of(problem: Problem, plain: Iterable[int] = (), points: int = POINTS) -> SearchSpace:
    """Return where to look for an assignment.

    Args:
        problem: The additive model.
        plain: Numbers of the precisions without grids.
        points: Budgets for which the front is computed.
    """
    return SearchSpace(
        problem=problem,
        front=tuple(pareto(problem, points)),
        greedy=(tuple(greedy(problem)), tuple(by_sensitivity(problem))),
        uniform=tuple(uniform(problem)),
        plain=frozenset(plain),
    )


def find_cheapest(
    space: SearchSpace,
    answers: MeasuredPlans,
    limits: PlanLimits,
    *,
    most_cost: float = float("inf"),
    seconds: float = float("inf"),
    better: Callable[[Point], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> BestPlan:
    """Return the cheapest assignment within the limits; without limits the best within the budget.

    The result depends on the answers alone, unless the time ends first: then it is the best that
    was measured.

    Args:
        space: Where to look.
        answers: Measures an assignment.
        limits: How good it must be; both None to get the best for the cost.
        most_cost: The budget on the axis of the space.
        seconds: No new assignment is measured after that time.
        better: Called with each better one as it is found: to write it.
        clock: Seconds that never go back.
    """
    hunt = _Hunt(space, answers, limits, most_cost, clock() + seconds, better, clock)
    try:
        if limits.max_drop is None and limits.min_sqnr is None:
            hunt.best()
        else:
            hunt.cheapest()
    except _Enough:
        hunt.found.stopped = True
    return hunt.found


@dataclass
class _Hunt:
    """One search."""

    space: SearchSpace
    answers: MeasuredPlans
    limits: PlanLimits
    most_cost: float
    end: float
    better: Callable[[Point], None] | None
    clock: Callable[[], float]
    found: BestPlan = field(default_factory=BestPlan)

    def ask(self, chosen: Assignment) -> bool:
        """Measure an assignment, keep it if it is the best so far, and tell whether it is enough."""
        if self.space.float_only(chosen):
            return True
        spent = self.found.asked and self.clock() >= self.end
        if spent and not self.answers.known(chosen):
            raise _Enough
        answer, one = self.answers(chosen), point(self.space.problem, chosen)
        good = self.limits.kept(answer)
        if not any(p.chosen == chosen for p, _ in self.found.asked):
            self.found.asked.append((one, answer))
        if self._beats(one, answer, good):
            self.found.point, self.found.answer, self.found.kept = one, answer, good
            if self.better is not None:
                self.better(one)
        return good

    def _beats(self, one: Point, answer: PlanScore, good: bool) -> bool:
        """Tell whether a plan is better than the best so far: in the limits, then cheap, then exact."""
        best, known = self.found.point, self.found.answer
        if best is None or known is None:
            return True
        if best.chosen == one.chosen:
            return False
        within = one.cost <= self.most_cost * (1 + 1e-9), best.cost <= self.most_cost * (1 + 1e-9)
        if within[0] != within[1]:
            return within[0]
        limited = self.limits.max_drop is not None or self.limits.min_sqnr is not None
        if good != self.found.kept:
            return good
        if limited and good:
            return (one.cost, -self.limits.order(answer)[1]) < (
                best.cost,
                -self.limits.order(known)[1],
            )
        return self.limits.order(answer) > self.limits.order(known)

    def paid(self, points: Sequence[Point]) -> list[Point]:
        """Return the points within the budget; the cheapest of all where none is."""
        kept = [p for p in points if p.cost <= self.most_cost * (1 + 1e-9)]
        return kept or list(points[:1])

    def cheapest(self) -> None:
        """Find the cheapest assignment that is good enough."""
        points = self.paid(self.space.front)
        high = self.bisect(points)
        if 0 < high < len(points):  # the front has more points than were computed
            self.bisect(between(self.space.problem, points[high - 1], points[high]))
        for one in self.space.uniform:
            if self._cheaper(one):
                self.ask(one.chosen)
        for path in self.space.greedy:
            self.bisect([p for p in path if self._cheaper(p)])
        if self.found.kept:
            self.below()
            self.repair()

    def _cheaper(self, one: Point) -> bool:
        """Tell whether a point could win."""
        if one.cost > self.most_cost * (1 + 1e-9):
            return False
        best = self.found.point
        return best is None or not self.found.kept or one.cost < best.cost * (1 - 1e-9)

    def bisect(self, points: Sequence[Point]) -> int:
        """Ask points in order of cost, as if errors fell along them.

        Returns the first that is good enough as far as is known; their number where none is.
        """
        if not points or self.ask(points[0].chosen):
            return 0
        if len(points) == 1 or not self.ask(points[-1].chosen):
            return len(points)
        low, high = 0, len(points) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.ask(points[middle].chosen):
                high = middle
            else:
                low = middle
        return high

    def below(self) -> None:
        """Ask the most exact of the cheaper points that were passed over: errors fall by and large."""
        known = {p.chosen: p for path in (self.space.front, *self.space.greedy) for p in path}
        for _ in range(REPAIRS):
            some = [p for p in known.values() if self._cheaper(p) and not self.answers_asked(p)]
            if not some:
                return
            self.ask(min(some, key=lambda p: (p.error, p.cost, p.chosen)).chosen)

    def repair(self) -> None:
        """Take precision from one group at a time, where the model says it saves most for its error."""
        for _ in range(REPAIRS):
            best = self.found.point
            step = next((p for p in self._steps(best) if not self.answers_asked(p)), None)
            if step is None:
                return
            self.ask(step.chosen)

    def answers_asked(self, one: Point) -> bool:
        """Tell whether this search has asked a point."""
        return any(p.chosen == one.chosen for p, _ in self.found.asked)

    def _steps(self, best: Point | None) -> list[Point]:
        """Return the cheaper neighbours of a point, the most promising first."""
        if best is None:
            return []
        problem, made = self.space.problem, []
        count = problem.errors.shape[1]
        for g in range(len(best.chosen) - problem.fixed):
            for k in range(count):
                if k == best.chosen[g] or problem.errors[g, k] == float("inf"):
                    continue
                one = point(problem, (*best.chosen[:g], k, *best.chosen[g + 1 :]))
                if one.cost < best.cost * (1 - 1e-9) and problem.fits(one.chosen):
                    made.append(one)
        return sorted(made, key=lambda p: ((p.error - best.error) / (best.cost - p.cost), p.chosen))

    def best(self) -> None:
        """Find the most exact assignment that is paid for."""
        for points in (self.space.front, *self.space.greedy, self.space.uniform):
            rivals = sorted(self.paid(points), key=lambda p: (p.error, p.cost))
            for one in rivals[: RIVALS if points is self.space.front else 1]:
                self.ask(one.chosen)

"""The knapsack against enumeration of every assignment, and its front against the definition."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.search.knapsack import Link, Problem, Shared
from quant.search.pareto import (
    between,
    by_sensitivity,
    greedy,
    pareto,
    point,
    undominated,
    uniform,
)
from quant.search.solve import solve

F64 = NDArray[np.float64]


def problem(seed: int, groups: int = 7, count: int = 3, decades: float = 4) -> Problem:
    """Return errors that fall and costs that rise along the precisions, with links and a shared tensor."""
    rng = np.random.default_rng(seed)
    errors = np.sort(10 ** rng.uniform(-decades, 0, (groups, count)), axis=1)[:, ::-1].copy()
    errors[:, -1] = 0
    costs = np.sort(rng.uniform(0.1, 1, (groups, count)), axis=1)
    links = tuple(
        Link(
            maker=g,
            readers=(g + 1, g + 2) if g % 2 and g + 2 < groups else (g + 1,),
            costs=rng.uniform(0, 0.2, (count, count)) * (1 - np.eye(count)),
        )
        for g in range(groups - 1)
    )
    shared = (Shared(tensor="t", groups=(0, 2, 3), errors=np.array([0.05, 0.001, 0.0])[:count]),)
    return Problem(errors=errors, costs=costs, links=links, shared=shared)


def total(made: Problem, chosen: tuple[int, ...]) -> tuple[float, float]:
    """Return error and cost by the definition, added up anew."""
    error = sum(made.errors[g][k] for g, k in enumerate(chosen))
    for tensor in made.shared:
        error += sum(tensor.errors[k] for k in {chosen[g] for g in tensor.groups})
    cost = sum(made.costs[g][k] for g, k in enumerate(chosen))
    for link in made.links:
        cost += sum(link.costs[chosen[link.maker]][q] for q in {chosen[r] for r in link.readers})
    return float(error), float(cost)


def every(made: Problem) -> list[tuple[float, float]]:
    groups, count = made.errors.shape
    return [total(made, c) for c in itertools.product(range(count), repeat=groups)]


@pytest.mark.parametrize("seed", range(3))
def test_every_point_of_the_front_is_the_best_of_all_assignments(seed: int) -> None:
    made = problem(seed)
    known = every(made)
    front = pareto(made, 16)

    assert len(front) > 6
    for one in front:
        assert (one.error, one.cost) == pytest.approx(total(made, one.chosen))
        assert one.error == pytest.approx(min(e for e, c in known if c <= one.cost + 1e-12))
        assert one.cost == pytest.approx(min(c for e, c in known if e <= one.error + 1e-12))
    assert front[0].cost == pytest.approx(min(c for _, c in known))
    assert front[-1].error == pytest.approx(min(e for e, _ in known))


def test_eight_groups_of_two_precisions_have_the_optimum_of_all_256() -> None:
    made = problem(5, groups=8, count=2)
    known = every(made)
    for budget in np.linspace(min(c for _, c in known), max(c for _, c in known), 9).tolist():
        found = solve(made, most_cost=budget, cheapest=False)
        assert found is not None
        error, cost = total(made, found)
        assert cost <= budget + 1e-9
        assert error == pytest.approx(min(e for e, c in known if c <= budget + 1e-12))


def test_the_front_is_monotone_even_where_errors_span_ten_decades() -> None:
    """A planted layer of error 1e6 must not hide those of 1e-4."""
    made = replace(problem(2, groups=10, decades=4), shared=())
    made.errors[0, 0] = 1e6
    front = pareto(made, 32)
    errors, costs = [p.error for p in front], [p.cost for p in front]

    assert errors == sorted(errors, reverse=True)
    assert costs == sorted(costs)
    assert len(set(errors)) == len(errors)
    late = [p for p in front if p.error < 1]
    assert len(late) > 5
    assert all(p.chosen[0] != 0 for p in front[1:]), "the worst one is raised first"


def test_no_other_path_beats_the_front() -> None:
    made = problem(3, groups=9)
    front = pareto(made, 4)
    for path in (greedy(made), by_sensitivity(made), uniform(made)):
        assert path
        for other in path:
            best = solve(made, most_cost=other.cost * (1 + 1e-9), cheapest=False)
            assert best is not None
            assert point(made, best).error <= other.error * (1 + 1e-6) + 1e-15
    assert greedy(made)[0].cost == pytest.approx(front[0].cost)


def test_between_two_points_lie_points_of_the_same_front() -> None:
    made = problem(4)
    front = pareto(made, 4)
    known = every(made)
    for one in between(made, front[1], front[2], 16):
        assert one.error == pytest.approx(min(e for e, c in known if c <= one.cost + 1e-12))


def test_what_is_forbidden_or_fixed_is_never_chosen() -> None:
    made = problem(6, groups=6)
    errors = made.errors.copy()
    errors[2, 0] = math.inf
    errors[5, :2] = math.inf
    fixed = Problem(errors=errors, costs=made.costs, links=made.links, fixed=1)

    for one in (*pareto(fixed, 8), *greedy(fixed), *by_sensitivity(fixed), *uniform(fixed)):
        assert one.chosen[2] != 0
        assert one.chosen[5] == 2
    assert [p.chosen for p in uniform(fixed)] == [(1,) * 5 + (2,), (2,) * 6]


def test_a_second_budget_holds_for_every_point() -> None:
    made = problem(7)
    size = np.array([[1.0, 2.0, 4.0]] * 7)
    both = Problem(errors=made.errors, costs=made.costs, others=((size, 14.0),))

    front = pareto(both, 8)
    assert front
    for one in (*front, *greedy(both)):
        assert sum(size[g, k] for g, k in enumerate(one.chosen)) <= 14
    nothing = Problem(errors=made.errors, costs=made.costs, others=((size, 6.0),))
    assert pareto(nothing) == []


def test_equal_problems_have_equal_fronts() -> None:
    assert pareto(problem(8), 16) == pareto(problem(8), 16)


def test_dominated_points_are_dropped() -> None:
    made = problem(9, groups=4)
    points = [point(made, c) for c in itertools.product(range(3), repeat=4)]
    kept = undominated(points)
    for one in points:
        beaten = any(
            p.error <= one.error and p.cost <= one.cost and p.chosen != one.chosen for p in points
        )
        assert (one in kept) != beaten

"""Search: which plans it asks, what it ends with, and that it is always the same."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.search.bisection import BestPlan, SearchBudget, SearchSpace, find_cheapest, most_measured
from quant.search.bisection import space_of as whole_space
from quant.search.knapsack import Assignment, Problem
from quant.search.measured_plans import MeasuredPlans, PlanLimits, PlanScore
from quant.search.pareto import Point
from tests.quant.search.test_solve import problem, total

DB = PlanLimits(max_drop=None, min_sqnr=55.0)


def space_of(made: Problem, plain: Iterable[int] = ()) -> SearchSpace:
    """Return a space with a coarse front, for speed."""
    return whole_space(made, plain, points=12)


def additive(made: Problem) -> Callable[[Assignment], PlanScore]:
    """Return the answers of a network whose errors add up exactly."""

    def ask(chosen: Assignment) -> PlanScore:
        error = total(made, chosen)[0]
        db = 60.0 - 40 * min(error, 1.0)
        return PlanScore(sqnr_db=db, drop=error / 10, metric="top1", samples=8)

    return ask


def contrary(made: Problem) -> Callable[[Assignment], PlanScore]:
    """Return answers in which group 0 is harmless, though the model says it is the worst."""

    def ask(chosen: Assignment) -> PlanScore:
        error = total(made, (2, *chosen[1:]))[0]
        return PlanScore(sqnr_db=60 - 40 * min(error, 1.0), drop=error, metric="top1", samples=8)

    return ask


def answers(path: Path, ask: Callable[[Assignment], PlanScore], key: str = "k") -> MeasuredPlans:
    return MeasuredPlans(path / "answers.json", key, ask)


def cheapest(made: Problem, ask: Callable[[Assignment], PlanScore], limits: PlanLimits) -> float:
    groups, count = made.errors.shape
    every = itertools.product(range(count), repeat=groups)
    return min(total(made, c)[1] for c in every if limits.kept(ask(c)))


@pytest.mark.parametrize("seed", range(3))
def test_where_errors_add_up_it_finds_the_cheapest_of_all_plans(tmp_path: Path, seed: int) -> None:
    """Within one part in a hundred of the optimum by enumeration, and inside the limit."""
    made = problem(seed, groups=6)
    space, ask = space_of(made), additive(made)
    for least in (35.0, 50.0, 58.0, 59.9):
        limits = PlanLimits(max_drop=None, min_sqnr=least)
        found = find_cheapest(space, answers(tmp_path, ask), limits)

        assert found.kept
        assert found.point is not None
        assert found.score == ask(found.point.chosen)
        assert found.score.sqnr_db >= least
        assert found.point.cost <= 1.01 * cheapest(made, ask, limits)


def test_it_is_never_dearer_than_greedy_paths_or_one_precision_for_all(tmp_path: Path) -> None:
    """Also where the additive model is wrong about a group."""
    for seed, maker in itertools.product(range(3), (additive, contrary)):
        made = problem(seed, groups=6)
        ask = maker(made)
        folder = tmp_path / f"{seed}{maker.__name__}"
        space = space_of(made)
        for least in (40.0, 55.0):
            limits = PlanLimits(max_drop=None, min_sqnr=least)
            found = find_cheapest(space, answers(folder, ask), limits)
            assert found.point is not None
            for path in (*space.greedy, space.uniform):
                good = [p.cost for p in path if limits.kept(ask(p.chosen))]
                assert found.point.cost <= min(good, default=float("inf")) * (1 + 1e-9)


def test_few_plans_are_asked(tmp_path: Path) -> None:
    made = problem(1, groups=8)
    space = space_of(made)
    found = find_cheapest(space, answers(tmp_path, additive(made)), DB)

    assert len(found.measured) <= most_measured(space) <= 60


def test_a_limit_on_the_drop_is_held(tmp_path: Path) -> None:
    made = problem(2, groups=6)
    limits = PlanLimits(max_drop=0.004, min_sqnr=None)
    found = find_cheapest(space_of(made), answers(tmp_path, additive(made)), limits)

    assert found.kept
    assert found.score is not None
    assert found.score.drop is not None
    assert found.score.drop <= 0.004


def test_with_a_budget_alone_the_best_that_is_paid_for_is_taken(tmp_path: Path) -> None:
    made = problem(3, groups=6)
    space = space_of(made)
    budget = (space.front[0].cost + space.front[-1].cost) / 2
    found = find_cheapest(
        space,
        answers(tmp_path, additive(made)),
        PlanLimits(max_drop=None, min_sqnr=None),
        SearchBudget(cost=budget),
    )
    best = min(p.error for p in space.front if p.cost <= budget)

    assert found.kept
    assert found.point is not None
    assert found.point.cost <= budget
    assert found.point.error == pytest.approx(best)


def test_what_no_plan_reaches_is_said_and_the_most_exact_plan_is_kept(tmp_path: Path) -> None:
    made = problem(4, groups=5)
    never = PlanLimits(max_drop=None, min_sqnr=99.0)
    found = find_cheapest(space_of(made), answers(tmp_path, additive(made)), never)

    assert not found.kept
    assert found.point is not None
    assert found.point.error == pytest.approx(0.0)


def test_a_plan_that_quantizes_nothing_is_never_measured_nor_taken(tmp_path: Path) -> None:
    made = problem(4, groups=5)
    space = space_of(made, plain=[2])
    asked: list[Assignment] = []

    def ask(chosen: Assignment) -> PlanScore:
        asked.append(chosen)
        return additive(made)(chosen)

    found = find_cheapest(space, answers(tmp_path, ask), PlanLimits(max_drop=None, min_sqnr=99.0))

    assert (2,) * 5 not in asked
    assert found.point is not None
    assert not found.kept
    assert found.point.chosen != (2,) * 5


def test_an_ended_search_goes_on_and_ends_in_the_same_answer_and_bytes(tmp_path: Path) -> None:
    made = problem(5, groups=6)
    space = space_of(made)
    whole = find_cheapest(space, answers(tmp_path / "whole", additive(made)), DB)
    count = 0

    def killed(chosen: Assignment) -> PlanScore:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return additive(made)(chosen)

    with pytest.raises(KeyboardInterrupt):
        find_cheapest(space, answers(tmp_path / "cut", killed), DB)
    before = count
    again = find_cheapest(space, answers(tmp_path / "cut", killed), DB)

    assert again == whole
    assert count - before == len(whole.measured) - 3, "three answers were read, not measured again"
    one, other = (tmp_path / name / "answers.json" for name in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()


def test_answers_of_another_key_or_a_broken_file_are_not_believed(tmp_path: Path) -> None:
    made = problem(5, groups=4)
    ask = additive(made)
    first = answers(tmp_path, ask)
    first((0, 0, 0, 0))

    assert answers(tmp_path, ask).known((0, 0, 0, 0))
    assert not answers(tmp_path, ask, key="other").known((0, 0, 0, 0))
    (tmp_path / "answers.json").write_text(
        '{"format": "quant-answers-1", "key": "k", "answers": 3}'
    )
    assert not answers(tmp_path, ask).known((0, 0, 0, 0))


def test_when_the_time_is_over_the_best_so_far_is_kept(tmp_path: Path) -> None:
    made = problem(6, groups=6)
    ticks = iter(range(100))
    found = find_cheapest(
        space_of(made),
        answers(tmp_path, additive(made)),
        PlanLimits(max_drop=None, min_sqnr=50.0),
        SearchBudget(seconds=3.5, clock=lambda: float(next(ticks))),
    )

    assert found.stopped
    assert 1 <= len(found.measured) <= 4
    assert found.point is not None
    best = [p for p, a in found.measured if a.sqnr_db >= 50.0]
    assert found.point in (best or [p for p, _ in found.measured])


def test_each_better_plan_is_handed_over_as_it_is_found(tmp_path: Path) -> None:
    made = problem(7, groups=6)
    kept: list[Point] = []
    found = find_cheapest(
        space_of(made), answers(tmp_path, additive(made)), DB, on_better=kept.append
    )

    assert kept
    assert kept[-1] == found.point


def test_a_drop_that_nothing_judges_is_refused(tmp_path: Path) -> None:
    made = problem(8, groups=4)

    def ask(chosen: Assignment) -> PlanScore:
        return replace(additive(made)(chosen), drop=None, metric="")

    with pytest.raises(InputError) as caught:
        find_cheapest(
            space_of(made), answers(tmp_path, ask), PlanLimits(max_drop=0.01, min_sqnr=None)
        )

    assert str(caught.value) == (
        "--max-drop: nothing judges these outputs, for there are no labels and they are no class "
        "scores. Give --labels, a --metric that needs none, or --min-sqnr."
    )


def test_nothing_to_look_at_is_nothing_found(tmp_path: Path) -> None:
    """Where the other budgets leave no assignment the front is empty."""
    made = problem(9, groups=4)
    empty = SearchSpace(problem=made, front=(), greedy=(), uniform=())

    assert find_cheapest(empty, answers(tmp_path, additive(made)), DB) == BestPlan()


@pytest.mark.parametrize(
    ("drop", "margin", "kept"),
    [
        (0.004, 0.0059, True),
        (0.004, 0.0061, False),
        (-0.02, 0.009, True),
        (-0.02, 0.011, False),
        (float("nan"), 0.0, False),
    ],
)
def test_a_drop_is_kept_with_its_error_and_a_gain_is_luck(
    drop: float, margin: float, kept: bool
) -> None:
    answer = PlanScore(sqnr_db=5.0, drop=drop, margin=margin, metric="top1", samples=100)

    assert PlanLimits(max_drop=0.01, min_sqnr=None).kept(answer) is kept

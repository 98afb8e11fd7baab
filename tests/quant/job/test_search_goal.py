"""Goals: budgets as they are written on the command line, and what is refused."""

import math

import pytest

from quant.common.errors import InputError
from quant.job.search_goal import Budget, SearchGoal, parse_budget


def test_budgets_are_read_with_their_units() -> None:
    found = parse_budget("latency=2ms,size=512kB, ops=1.5G")

    assert found == [
        Budget(axis="latency", most=2.0),
        Budget(axis="size", most=0.512),
        Budget(axis="ops", most=1.5),
    ]
    assert parse_budget("latency=0.002s") == [Budget(axis="latency", most=2.0)]
    assert parse_budget("size=3MB") == [Budget(axis="size", most=3.0)]


def test_a_budget_may_be_a_share_of_what_the_most_exact_plan_costs() -> None:
    (found,) = parse_budget("size=60%")

    assert found.limit(5.0) == pytest.approx(3.0)
    assert Budget(axis="size", most=2.0).limit(5.0) == 2.0


@pytest.mark.parametrize(
    "text", ["latency", "latency=", "time=2ms", "size=3parsec", "size=0MB", "ops=-1G", "latency=2"]
)
def test_a_budget_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_budget(text)

    assert str(caught.value) == (
        "--budget: latency=2ms, size=3MB, ops=1.2G or a share as size=60% is wanted, saw "
        f"'{text}'. Name one of these axes, a number over 0 and its unit."
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"samples": 0}, "--search-samples: must be 1 or more, saw 0. Raise it."),
        ({"groups": -1}, "--groups: must be 0 or more, saw -1. Raise it."),
        ({"seconds": 0}, "--time-budget: must be over 0 seconds, saw 0. Raise it."),
        ({"seconds": math.nan}, "--time-budget: must be over 0 seconds, saw nan. Raise it."),
        (
            {"budgets": (Budget(axis="size", most=1), Budget(axis="size", most=2))},
            "--budget: size is limited twice. Keep one of them.",
        ),
    ],
)
def test_a_goal_that_cannot_be_is_refused(said: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        SearchGoal(**said)  # type: ignore[arg-type]

    assert str(caught.value) == message


def test_a_goal_is_limited_by_any_of_the_three() -> None:
    assert not SearchGoal().limited
    assert SearchGoal(max_drop=0.0).limited
    assert SearchGoal(min_sqnr=20.0).limited
    assert SearchGoal(budgets=(Budget(axis="ops", most=1),)).limited

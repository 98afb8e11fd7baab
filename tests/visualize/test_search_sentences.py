"""What a search found, in sentences: each is read whole."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from quant.results.saved_search import SavedGroup, SavedPoint, SavedSearch
from quant.visualize.search_sentences import (
    additivity_sentence,
    cost_text,
    held_out_sentence,
    limits_phrase,
    points_text,
    result_sentence,
    sqnr_text,
)

GROUP = SavedGroup(name="a", layers=("a",), macs=10, errors=(0.1, 0.0), costs=(1.0, 4.0))
WINNER = SavedPoint(
    number=1,
    source="front",
    chosen=True,
    assignment=(0,),
    cost=1.25,
    costs=MappingProxyType({"size": 1.25}),
    error=0.1,
    predicted_db=31.24,
    measured_db=32.06,
    drop=0.004,
    margin=0.0,
    layers="3 int8, 1 float32",
)
SEARCH = SavedSearch(
    facts={
        "kept": True,
        "stopped": False,
        "metric": "top1",
        "samples": 250,
        "asked": 7,
        "additivity": {"plans": 2, "noise_ratios": [0.8, 1.1]},
    },
    axis="size",
    precisions=("int8", "float32"),
    groups=(GROUP,),
    between=(),
    points=(WINNER,),
    min_sqnr=30.0,
    max_drop=None,
    most_cost=None,
)


def test_the_cheapest_plan_is_told_with_its_limit() -> None:
    """Cost, error, loss, and on how many samples."""
    assert result_sentence(SEARCH) == (
        "The cheapest plan within the limit (at least 30 dB at the worst output) has 3 int8, 1 "
        "float32: 1.25 MB, 32.1 dB at the worst output, 0.40 points of top1 lost, measured on 250 calibration "
        "samples; 7 plans measured."
    )


def test_a_limit_that_nothing_keeps_is_told() -> None:
    """The best that there is must not pass for good enough; a budget counts too."""
    facts = {**SEARCH.facts, "kept": False, "stopped": True}
    poor = replace(SEARCH, facts=facts, max_drop=0.001)
    dear = replace(SEARCH, most_cost=1.0)

    assert result_sentence(poor) == (
        "No plan keeps the limit (at least 30 dB at the worst output, at most 0.1 points of top1 "
        "lost). The best plan has 3 int8, 1 float32: 1.25 MB, 32.1 dB at the worst output, 0.40 "
        "points of top1 lost, measured on 250 calibration samples; 7 plans measured; the search "
        "stopped at its time budget."
    )
    assert result_sentence(dear).startswith(
        "No plan keeps the limit (at least 30 dB at the worst output, at most 1 MB). The best plan has "
    )


def test_for_a_budget_alone_the_most_exact_plan_is_told() -> None:
    """Nothing was cheapest there."""
    paid = replace(SEARCH, min_sqnr=None, most_cost=2.0)

    assert result_sentence(paid).startswith(
        "The most exact plan (at most 2 MB) has 3 int8, 1 float32: "
    )
    assert limits_phrase(replace(SEARCH, min_sqnr=None)) == ""
    unsure = replace(SEARCH, points=(replace(WINNER, margin=0.002),))
    assert ", 0.40 points of top1 (\u00b1 0.20) lost, " in result_sentence(unsure)
    once = replace(SEARCH, facts={**SEARCH.facts, "asked": 1})
    assert result_sentence(once).endswith("calibration samples; 1 plan measured.")


def test_without_a_winner_there_is_a_sentence_too() -> None:
    """Where all is float."""
    assert result_sentence(replace(SEARCH, points=())) == (
        "No plan was measured: no layer can be quantized within the budget."
    )


def test_how_errors_added_up_is_told_as_a_range() -> None:
    """One sentence: measured against predicted noise, and the winner's own."""
    assert additivity_sentence(SEARCH) == (
        "In 2 plans the measured noise was 0.80 to 1.10 times the sum of the groups' "
        "noise; the chosen plan has 32.1 dB, predicted were 31.2 dB."
    )
    one = replace(SEARCH, facts={"additivity": {"noise_ratios": [1.0]}}, points=())
    assert additivity_sentence(one) == (
        "In 1 plan the measured noise was 1.00 times the sum of the groups' noise."
    )
    assert additivity_sentence(replace(SEARCH, facts={})) == (
        "No plan with an error was measured, so it is not known whether errors add up."
    )


def test_what_was_held_out_is_told() -> None:
    """A search fits its samples; others say what it is worth."""
    told = {"sqnr_db": 29.0, "drop": 0.0, "samples": 99, "kept": False}

    assert held_out_sentence(told, "top1") == (
        "On 99 held-out samples, which the search did not use: 29.0 dB, 0.00 points of top1 lost, "
        "outside the limit."
    )
    told |= {"drop": -0.01, "kept": True, "sqnr_db": 999.0}
    assert held_out_sentence(told, "top1") == (
        "On 99 held-out samples, which the search did not use: no error, 1.00 points of top1 gained, "
        "within the limit."
    )
    assert held_out_sentence({}, "top1") == held_out_sentence(None, "") == ""


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (cost_text(SEARCH, 0.00728256), "0.007283 MB"),
        (cost_text(SEARCH, 12345.6), "12346 MB"),
        (cost_text(SEARCH, 0.0000677125), "0.00006771 MB"),
        (cost_text(SEARCH, 3.0), "3 MB"),
        (sqnr_text(999.0), "no error"),
        (sqnr_text(float("inf")), "no error"),
        (sqnr_text(31.96), "32.0 dB"),
        (points_text(-1e-9), "0.00 points"),
        (points_text(-0.004), "-0.40 points"),
    ],
)
def test_numbers_are_printed_as_people_read_them(said: str, wanted: str) -> None:
    """A zero has no sign; four digits tell points of a front apart."""
    assert said == wanted

"""Search text: what a search found, as the terminal shows it and as warnings."""

__all__ = ["breached", "held_out_facts", "search_summary", "search_text", "search_warnings"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quant.compare.comparison import Comparison
from quant.search.measured_plans import PlanLimits, PlanScore

KEPT = (
    *("device", "axis", "unit", "max_drop", "min_sqnr_db", "most_cost", "budgets", "precisions"),
    *(
        "sensitivity",
        "asked",
        "kept",
        "stopped",
        "metric",
        "drop",
        "margin",
        "sqnr_db",
        "samples",
        "cost",
    ),
    *("precisions_chosen", "additivity", "whole_cost", "cheapest_cost"),
)
"""What `run.json` has of `search.json`."""


def search_summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `run.json` says of a search: `search.json` without its groups and points."""
    return {key: facts[key] for key in KEPT} | {"groups": len(facts["groups"])}


def held_out_facts(limits: PlanLimits, found: Comparison | None) -> dict[str, Any]:
    """Return what the winner measures on the samples that the search did not see.

    Keys: `sqnr_db`, `drop`, `samples` and `kept`: whether that is within the limits too.
    """
    if found is None:
        return {}
    answer = PlanScore.of(found)
    return {
        "sqnr_db": answer.sqnr_db,
        "drop": answer.drop,
        "margin": answer.margin,
        "samples": answer.samples,
        "kept": limits.kept(replace(answer, margin=0.0)),
    }


def search_text(told: Mapping[str, Any]) -> list[str]:
    """Return what a search did, one phrase each."""
    chosen = ", ".join(f"{n} in {p}" for p, n in sorted(told["precisions_chosen"].items()))
    unit, cost = told["unit"], told["cost"]
    lines = [
        f"{told['groups']} groups of layers, {chosen or 'none chosen'}; {told['asked']} plans measured"
    ]
    if cost is None:
        return lines
    scale = f"{told['cheapest_cost']:.4g} to {told['whole_cost']:.4g} {unit}"
    lines.append(
        f"{cost:.4g} {unit} of {scale}{_on(told)}; {_measured(told)} on the "
        f"{told['samples']} samples that decide{_limit(told)}"
    )
    seen = told.get("held_out")
    if seen:
        lines.append(f"{_measured({**told, **seen})} on samples it did not see")
    return lines


def _on(told: Mapping[str, Any]) -> str:
    return f" on {told['device']}" if told["axis"] == "latency" else ""


def _measured(told: Mapping[str, Any]) -> str:
    found = [f"{told['sqnr_db']:.1f} dB"] if told["sqnr_db"] is not None else []
    if told["drop"] is not None:
        found.insert(
            0,
            f"{told['metric']} {0.0 - 100 * told['drop']:+.2f} ± {100 * told['margin']:.2f} points",
        )
    return ", ".join(found)


def _limit(told: Mapping[str, Any]) -> str:
    found = []
    if told["max_drop"] is not None:
        found.append(f"at most {100 * told['max_drop']:g} points lost, error included")
    if told["min_sqnr_db"] is not None:
        found.append(f"at least {told['min_sqnr_db']:g} dB")
    if told["most_cost"] is not None and math.isfinite(told["most_cost"]):
        found.append(f"at most {told['most_cost']:.4g} {told['unit']}")
    return f" (limit: {', '.join(found)})" if found else ""


def search_warnings(name: str, told: Mapping[str, Any]) -> Sequence[str]:
    """Return what a user must know of a search that went wrong in part."""
    found = []
    if told["stopped"]:
        found.append(
            f"{name}: the search ended with its time after {told['asked']} plans, and the best of "
            "them was taken. Run it again with a longer --time-budget: it goes on where it was."
        )
    seen = told.get("held_out")
    if told["kept"] and seen and not seen["kept"]:
        found.append(
            f"{name}: on the {seen['samples']} samples that the search did not see it is "
            f"{_measured({**told, **seen})}, outside the limit{_limit(told)[8:-1]}. Give more "
            "--samples, or a tighter limit."
        )
    return found


def breached(name: str, told: Mapping[str, Any]) -> str | None:
    """Return the sentence that ends a run whose limits no plan keeps, or None."""
    if told["kept"] and not _over(told):
        return None
    best = _measured(told) if told["cost"] is not None else "nothing was measured"
    return (
        f"{name}: no plan with integers keeps the limit{_limit(told)[8:-1]}; the best of "
        f"{told['asked']} has {best} at {told['cost']:.4g} {told['unit']}, and was written. Loosen "
        "the limit, add a precision with --precisions, or keep the network in float"
    )


def _over(told: Mapping[str, Any]) -> bool:
    most, cost = told["most_cost"], told["cost"]
    return most is not None and cost is not None and cost > most * (1 + 1e-9)

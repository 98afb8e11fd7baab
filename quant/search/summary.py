"""The result of a search, as phrases for the terminal, and as warnings."""

__all__ = ["breached", "held_out_facts", "search_summary", "search_text", "search_warnings"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quant.compare.comparison import Comparison
from quant.search.measured_plans import PlanLimits, PlanScore

SUMMARY_KEYS = (
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
    return {key: facts[key] for key in SUMMARY_KEYS} | {"groups": len(facts["groups"])}


def held_out_facts(limits: PlanLimits, comparison: Comparison | None) -> dict[str, Any]:
    """Return what the winner measures on the samples that the search did not see.

    Keys: `sqnr_db`, `drop`, `samples` and `kept`: whether that is within the limits too.
    """
    if comparison is None:
        return {}
    score = PlanScore.of(comparison)
    return {
        "sqnr_db": score.sqnr_db,
        "drop": score.drop,
        "margin": score.margin,
        "samples": score.samples,
        "kept": limits.kept(replace(score, margin=0.0)),
    }


def search_text(facts: Mapping[str, Any]) -> list[str]:
    """Return what a search did, one phrase each."""
    chosen = ", ".join(f"{n} in {p}" for p, n in sorted(facts["precisions_chosen"].items()))
    unit, cost = facts["unit"], facts["cost"]
    lines = [
        f"{facts['groups']} groups of layers, {chosen or 'none chosen'}; {facts['asked']} plans measured"
    ]
    if cost is None:
        return lines
    scale = f"{facts['cheapest_cost']:.4g} to {facts['whole_cost']:.4g} {unit}"
    lines.append(
        f"{cost:.4g} {unit} of {scale}{_on(facts)}; {_measured(facts)} on the "
        f"{facts['samples']} samples that decide{_limit(facts)}"
    )
    held_out = facts.get("held_out")
    if held_out:
        lines.append(f"{_measured({**facts, **held_out})} on samples it did not see")
    return lines


def _on(facts: Mapping[str, Any]) -> str:
    return f" on {facts['device']}" if facts["axis"] == "latency" else ""


def _measured(facts: Mapping[str, Any]) -> str:
    parts = [f"{facts['sqnr_db']:.1f} dB"] if facts["sqnr_db"] is not None else []
    if facts["drop"] is not None:
        parts.insert(
            0,
            f"{facts['metric']} {0.0 - 100 * facts['drop']:+.2f} ± {100 * facts['margin']:.2f} points",
        )
    return ", ".join(parts)


def _limit(facts: Mapping[str, Any]) -> str:
    parts = []
    if facts["max_drop"] is not None:
        parts.append(f"at most {100 * facts['max_drop']:g} points lost, error included")
    if facts["min_sqnr_db"] is not None:
        parts.append(f"at least {facts['min_sqnr_db']:g} dB")
    if facts["most_cost"] is not None and math.isfinite(facts["most_cost"]):
        parts.append(f"at most {facts['most_cost']:.4g} {facts['unit']}")
    return f" (limit: {', '.join(parts)})" if parts else ""


def search_warnings(name: str, facts: Mapping[str, Any]) -> Sequence[str]:
    """Return what a user must know of a search that went wrong in part."""
    warnings = []
    if facts["stopped"]:
        warnings.append(
            f"{name}: the search ended with its time after {facts['asked']} plans, and the best of "
            "them was taken. Run it again with a longer --time-budget: it goes on where it was."
        )
    held_out = facts.get("held_out")
    if facts["kept"] and held_out and not held_out["kept"]:
        warnings.append(
            f"{name}: on the {held_out['samples']} samples that the search did not see it is "
            f"{_measured({**facts, **held_out})}, outside the limit{_limit(facts)[8:-1]}. Give more "
            "--samples, or a tighter limit."
        )
    return warnings


def breached(name: str, facts: Mapping[str, Any]) -> str | None:
    """Return the sentence that ends a run whose limits no plan keeps, or None."""
    if facts["kept"] and not _over(facts):
        return None
    best = _measured(facts) if facts["cost"] is not None else "nothing was measured"
    return (
        f"{name}: no plan with integers keeps the limit{_limit(facts)[8:-1]}; the best of "
        f"{facts['asked']} has {best} at {facts['cost']:.4g} {facts['unit']}, and was written. Loosen "
        "the limit, add a precision with --precisions, or keep the network in float"
    )


def _over(facts: Mapping[str, Any]) -> bool:
    most, cost = facts["most_cost"], facts["cost"]
    return most is not None and cost is not None and cost > most * (1 + 1e-9)

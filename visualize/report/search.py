"""A target's search as JSON for the report: its points, groups and sentences."""

__all__ = ["search_json"]

import shlex
from collections.abc import Sequence
from typing import Any

from quant.plan.tensor_plans import Plan
from quant.results.saved_run import SavedTarget
from quant.results.saved_search import SavedGroup, SavedPoint, SavedSearch
from quant.visualize.report.layers import number
from quant.visualize.search_sentences import (
    additivity_sentence,
    held_out_sentence,
    limits_phrase,
    result_sentence,
)

DIGITS = 6
"""Digits of a number, so that an SQNR rounds on the page as it does in the sentences."""


def search_json(target: SavedTarget, names: Sequence[str]) -> dict[str, Any] | None:
    """Return the data of the section "Mixed precision" for a target; None without a search.

    Args:
        target: Target of the run.
        names: Names of all layers of the page; a group refers to its first layer by position.
    """
    search = target.search
    if search is None or not search.points:
        return None
    at = {name: i for i, name in enumerate(names)}
    sensitivity = search.facts.get("sensitivity")
    measured = sensitivity if isinstance(sensitivity, dict) else {}
    return {
        "axis": search.axis,
        "unit": search.unit,
        "device": str(search.facts.get("device") or ""),
        "metric": str(search.facts.get("metric") or ""),
        "samples": search.facts.get("samples"),
        "kept": search.kept,
        "min": search.min_sqnr,
        "drop": search.max_drop,
        "most": search.most_cost,
        "limits": limits_phrase(search),
        "found": result_sentence(search),
        "held": held_out_sentence(_held(target), str(search.facts.get("metric") or "")),
        "added": additivity_sentence(search),
        "measure": f"{measured.get('name')} on {measured.get('samples')} samples",
        "assumptions": [str(line) for line in search.facts.get("assumptions") or []],
        "other": _other(search, target.plan),
        "precisions": list(search.precisions),
        "groups": [_group(group, at) for group in search.groups],
        "between": [
            {
                "tensor": tensor.tensors[0] if tensor.tensors else "",
                "groups": list(tensor.groups),
                "errors": [number(e, DIGITS) for e in tensor.errors],
            }
            for tensor in search.between
        ],
        "points": [_point(search, point, target.name) for point in search.points],
    }


def _held(target: SavedTarget) -> object:
    facts = target.facts.get("search")
    return facts.get("held_out") if isinstance(facts, dict) else None


def _group(group: SavedGroup, at: dict[str, int]) -> dict[str, Any]:
    return {
        "name": group.name,
        "layers": list(group.layers),
        "at": next((at[x] for x in (group.name, *group.layers) if x in at), -1),
        "macs": group.macs,
        "errors": [number(e, DIGITS) for e in group.errors],
        "costs": [number(c, DIGITS) for c in group.costs],
    }


def _point(search: SavedSearch, point: SavedPoint, target: str) -> dict[str, Any]:
    recipe = shlex.quote(f"{target}/{search.recipe(point)}")
    return {
        "n": point.number,
        "source": point.source,
        "chosen": point.chosen,
        "one": search.uniform(point) or "",
        "a": list(point.assignment),
        "cost": number(point.cost, DIGITS),
        "costs": {axis: number(cost, DIGITS) for axis, cost in point.costs.items()},
        "error": number(point.error, DIGITS),
        "predicted": number(point.predicted_db, DIGITS),
        "measured": None if point.measured_db is None else number(point.measured_db, DIGITS),
        "lost": None if point.drop is None else number(point.drop, DIGITS),
        "margin": number(point.margin, DIGITS),
        "layers": point.layers,
        "recipe": f"quant calibrate --recipe {recipe}",
    }


def _other(search: SavedSearch, plan: Plan) -> str:
    """Return a sentence where the run's plan differs from the chosen one; "" where it does not."""
    best = search.winner
    if best is None:
        return ""
    pairs = [
        (layer, search.precisions[k])
        for group, k in zip(search.groups, best.assignment, strict=True)
        for layer in group.layers
    ]
    differ = [x for x, p in pairs if x not in plan.layers or plan.layers[x].precision != p]
    if not differ:
        return ""
    return (
        f"The plan of this run differs from the chosen one in {len(differ)} of {len(pairs)} layers: it "
        "was made later or with other rules."
    )

"""The files that a search leaves: the front, a recipe for each point, and all of it as JSON."""

__all__ = ["COLUMNS", "additivity", "noise_ratios", "search_facts", "write_search"]

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.common.files import write_json, write_text
from quant.job.search_goal import AXES
from quant.search.assignment import recipe_text
from quant.search.knapsack import Assignment
from quant.search.measured_plans import PlanScore
from quant.search.pareto import Point
from quant.search.target_search import TargetSearch

COLUMNS = (
    *("point", "source", "chosen", "latency_ms", "size_mb", "gops"),
    *("predicted_error", "predicted_sqnr_db", "measured_sqnr_db", "measured_drop"),
    "drop_margin",
    *("layers", "recipe"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One assignment as it is written."""

    number: int
    source: str
    point: Point
    score: PlanScore | None


def write_search(search: TargetSearch, folder: Path) -> None:
    """Write `pareto.csv`, `search.json` and `front/*.toml`: a recipe for each point."""
    rows = list(_rows(search))
    width = len(str(len(rows)))
    for row in rows:
        names = search.precisions(row.point.chosen)
        head = [
            f"A point of quant search for {search.inputs.target.name}: {_counts(search, row.point)}",
            (
                f"predicted {_db(search, row.point)} at the worst output, "
                f"{row.point.cost:.6g} {AXES[search.axis]}"
            ),
        ]
        text = recipe_text(search.costs.groups, names, search.inputs.target.name, head)
        write_text(folder / "front" / f"{row.number:0{width}}.toml", text)
    write_text(folder / "pareto.csv", _csv(search, rows, width))
    write_json(folder / "search.json", search_facts(search) | {"points": _points(search, rows)})


def _db(search: TargetSearch, point: Point) -> str:
    value = search.sensitivity.predicted_db(point.chosen)
    return "no error" if math.isinf(value) else f"{value:.1f} dB"


def _rows(search: TargetSearch) -> Iterator[_Row]:
    """Yield the front, and behind it what else was measured."""
    scores = {p.chosen: a for p, a in search.best.measured}
    number = 0
    written = set()
    sources = [("front", search.space.front), ("uniform", search.space.uniform)]
    sources += [("greedy", path) for path in search.space.greedy]
    sources += [("neighbour", tuple(p for p, _ in search.best.measured))]
    for source, points in sources:
        for point in points:
            listed = source in ("front", "uniform") or point.chosen in scores
            if point.chosen in written or not listed or search.space.float_only(point.chosen):
                continue
            written.add(point.chosen)
            number += 1
            yield _Row(number=number, source=source, point=point, score=scores.get(point.chosen))


def _counts(search: TargetSearch, point: Point) -> str:
    """Return how many layers of groups have each precision."""
    names = search.precisions(point.chosen)
    counts: Counter[str] = Counter()
    for group, name in zip(search.costs.groups, names, strict=True):
        counts[name] += len(group.layers)
    ordered = [n for n in search.costs.precisions if n in counts]
    return ", ".join(f"{counts[name]} {name}" for name in ordered)


def _axis(search: TargetSearch, point: Point, axis: str) -> float | None:
    """Return the cost on an axis, of all layers; None for a time that is not known."""
    if axis == search.axis:
        return point.cost
    problem = search.costs.problem(
        search.sensitivity.error, axis, tensors=search.sensitivity.shared
    )
    cost = problem.cost(point.chosen)
    return cost if axis != "latency" or cost > 0 else None


def _points(search: TargetSearch, rows: list[_Row]) -> list[dict[str, Any]]:
    best = search.best.point
    points = []
    for row in rows:
        score = row.score
        points.append(
            {
                "point": row.number,
                "source": row.source,
                "chosen": best is not None and best.chosen == row.point.chosen,
                "assignment": list(row.point.chosen[: len(search.costs.groups)]),
                "latency_ms": _axis(search, row.point, "latency"),
                "size_mb": _axis(search, row.point, "size"),
                "gops": _axis(search, row.point, "ops"),
                "predicted_error": row.point.error,
                "predicted_sqnr_db": search.sensitivity.predicted_db(row.point.chosen),
                "measured_sqnr_db": score.sqnr_db if score is not None else None,
                "measured_drop": score.drop if score is not None else None,
                "drop_margin": score.margin if score is not None else None,
                "layers": _counts(search, row.point),
            }
        )
    return points


def _csv(search: TargetSearch, rows: list[_Row], width: int) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for point in _points(search, rows):
        line = {k: _number(v) for k, v in point.items() if k in COLUMNS}
        writer.writerow(line | {"recipe": f"front/{point['point']:0{width}}.toml"})
    return text.getvalue()


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value


def additivity(search: TargetSearch) -> dict[str, Any]:
    """Return how well errors added up on what was measured: measured noise power by the predicted.

    1 where the sum of the groups' own errors is the error of the plan; over 1 where they help each
    other to grow.
    """
    ratios = noise_ratios(search, {p.chosen: a for p, a in search.best.measured})
    best = search.best.point
    facts: dict[str, Any] = {"plans": len(ratios), "noise_ratios": sorted(ratios)}
    if best is not None and search.best.score is not None:
        facts["predicted_sqnr_db"] = search.sensitivity.predicted_db(best.chosen)
        facts["measured_sqnr_db"] = search.best.score.sqnr_db
    return facts


def noise_ratios(search: TargetSearch, scores: Mapping[Assignment, PlanScore]) -> list[float]:
    """Return measured noise power by the predicted one, of each assignment."""
    pairs = [(search.sensitivity.predicted_db(c), a.sqnr_db) for c, a in scores.items()]
    finite = [(p, m) for p, m in pairs if math.isfinite(p) and math.isfinite(m)]
    return [10 ** ((predicted - measured) / 10) for predicted, measured in finite]


def search_facts(search: TargetSearch) -> dict[str, Any]:
    """Return a search as JSON values, without its points."""
    best, goal, table = search.best, search.inputs.goal, search.inputs.table
    return {
        "target": search.inputs.target.name,
        "device": table.device,
        "axis": search.axis,
        "unit": AXES[search.axis],
        "max_drop": search.limits.max_drop,
        "min_sqnr_db": search.limits.min_sqnr,
        "most_cost": search.most_cost if math.isfinite(search.most_cost) else None,
        "budgets": {b.axis: {"most": b.most, "share": b.share} for b in goal.budgets},
        "precisions": list(search.costs.precisions[: search.costs.candidates]),
        "sensitivity": {"name": search.sensitivity.name, "samples": search.sensitivity.samples},
        "groups": [
            {
                "name": group.name,
                "layers": list(group.layers),
                "macs": group.macs,
                "errors": [
                    search.space.problem.alone(g, k) for k in range(search.costs.candidates)
                ],
                "costs": search.space.problem.costs[g, : search.costs.candidates].tolist(),
            }
            for g, group in enumerate(search.costs.groups)
        ],
        "between": [
            {
                "tensors": list(tensor.tensors),
                "groups": list(tensor.groups),
                "errors": search.sensitivity.error[t].tolist(),
            }
            for t, tensor in enumerate(search.sensitivity.shared, len(search.costs.groups))
        ],
        "asked": len(best.measured),
        "kept": best.kept,
        "stopped": best.stopped,
        "metric": best.score.metric if best.score is not None else "",
        "drop": best.score.drop if best.score is not None else None,
        "margin": best.score.margin if best.score is not None else None,
        "sqnr_db": best.score.sqnr_db if best.score is not None else None,
        "samples": best.score.samples if best.score is not None else 0,
        "cost": best.point.cost if best.point is not None else None,
        "cheapest_cost": min((p.cost for p in search.space.front), default=None),
        "whole_cost": max((p.cost for p in search.space.front), default=None),
        "precisions_chosen": (
            dict(Counter(search.precisions(best.point.chosen))) if best.point is not None else {}
        ),
        "additivity": additivity(search),
        "assumptions": list(table.assumptions),
    }

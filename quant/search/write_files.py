"""Search files: what a search leaves: the front, a recipe for each point, the whole as JSON."""

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
    answer: PlanScore | None


def write_search(made: TargetSearch, folder: Path) -> None:
    """Write `pareto.csv`, `search.json` and `front/*.toml`: a recipe for each point."""
    rows = list(_rows(made))
    width = len(str(len(rows)))
    for row in rows:
        names = made.precisions(row.point.chosen)
        head = [
            f"A point of quant search for {made.inputs.target.name}: {_counts(made, row.point)}",
            (
                f"predicted {_db(made, row.point)} at the worst output, "
                f"{row.point.cost:.6g} {AXES[made.axis]}"
            ),
        ]
        text = recipe_text(made.costs.groups, names, made.inputs.target.name, head)
        write_text(folder / "front" / f"{row.number:0{width}}.toml", text)
    write_text(folder / "pareto.csv", _csv(made, rows, width))
    write_json(folder / "search.json", search_facts(made) | {"points": _points(made, rows)})


def _db(made: TargetSearch, point: Point) -> str:
    value = made.sensitivity.predicted_db(point.chosen)
    return "no error" if math.isinf(value) else f"{value:.1f} dB"


def _rows(made: TargetSearch) -> Iterator[_Row]:
    """Yield the front, and behind it what else was measured."""
    answers = {p.chosen: a for p, a in made.best.asked}
    number = 0
    seen = set()
    sources = [("front", made.space.front), ("uniform", made.space.uniform)]
    sources += [("greedy", path) for path in made.space.greedy]
    sources += [("neighbour", tuple(p for p, _ in made.best.asked))]
    for source, points in sources:
        for point in points:
            wanted = source in ("front", "uniform") or point.chosen in answers
            if point.chosen in seen or not wanted or made.space.float_only(point.chosen):
                continue
            seen.add(point.chosen)
            number += 1
            yield _Row(number=number, source=source, point=point, answer=answers.get(point.chosen))


def _counts(made: TargetSearch, point: Point) -> str:
    """Return how many layers of groups have each precision."""
    names = made.precisions(point.chosen)
    found: Counter[str] = Counter()
    for group, name in zip(made.costs.groups, names, strict=True):
        found[name] += len(group.layers)
    ordered = [n for n in made.costs.precisions if n in found]
    return ", ".join(f"{found[name]} {name}" for name in ordered)


def _axis(made: TargetSearch, point: Point, axis: str) -> float | None:
    """Return the cost on an axis, of all layers; None for a time that is not known."""
    if axis == made.axis:
        return point.cost
    problem = made.costs.problem(made.sensitivity.error, axis, between=made.sensitivity.between)
    found = problem.cost(point.chosen)
    return found if axis != "latency" or found > 0 else None


def _points(made: TargetSearch, rows: list[_Row]) -> list[dict[str, Any]]:
    best = made.best.point
    found = []
    for row in rows:
        answer = row.answer
        found.append(
            {
                "point": row.number,
                "source": row.source,
                "chosen": best is not None and best.chosen == row.point.chosen,
                "assignment": list(row.point.chosen[: len(made.costs.groups)]),
                "latency_ms": _axis(made, row.point, "latency"),
                "size_mb": _axis(made, row.point, "size"),
                "gops": _axis(made, row.point, "ops"),
                "predicted_error": row.point.error,
                "predicted_sqnr_db": made.sensitivity.predicted_db(row.point.chosen),
                "measured_sqnr_db": answer.sqnr_db if answer is not None else None,
                "measured_drop": answer.drop if answer is not None else None,
                "drop_margin": answer.margin if answer is not None else None,
                "layers": _counts(made, row.point),
            }
        )
    return found


def _csv(made: TargetSearch, rows: list[_Row], width: int) -> str:
    told = io.StringIO()
    writer = csv.DictWriter(told, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for point in _points(made, rows):
        line = {k: _number(v) for k, v in point.items() if k in COLUMNS}
        writer.writerow(line | {"recipe": f"front/{point['point']:0{width}}.toml"})
    return told.getvalue()


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value


def additivity(made: TargetSearch) -> dict[str, Any]:
    """Return how well errors added up on what was measured: measured noise power by the predicted.

    1 where the sum of the groups' own errors is the error of the plan; over 1 where they help each
    other to grow.
    """
    ratios = noise_ratios(made, {p.chosen: a for p, a in made.best.asked})
    best = made.best.point
    told: dict[str, Any] = {"plans": len(ratios), "noise_ratios": sorted(ratios)}
    if best is not None and made.best.answer is not None:
        told["predicted_sqnr_db"] = made.sensitivity.predicted_db(best.chosen)
        told["measured_sqnr_db"] = made.best.answer.sqnr_db
    return told


def noise_ratios(made: TargetSearch, answers: Mapping[Assignment, PlanScore]) -> list[float]:
    """Return measured noise power by the predicted one, of each assignment."""
    pairs = [(made.sensitivity.predicted_db(c), a.sqnr_db) for c, a in answers.items()]
    known = [(p, m) for p, m in pairs if math.isfinite(p) and math.isfinite(m)]
    return [10 ** ((predicted - measured) / 10) for predicted, measured in known]


def search_facts(made: TargetSearch) -> dict[str, Any]:
    """Return a search as JSON values, without its points."""
    found, goal, table = made.best, made.inputs.goal, made.inputs.table
    return {
        "target": made.inputs.target.name,
        "device": table.device,
        "axis": made.axis,
        "unit": AXES[made.axis],
        "max_drop": made.limits.max_drop,
        "min_sqnr_db": made.limits.min_sqnr,
        "most_cost": made.most_cost if math.isfinite(made.most_cost) else None,
        "budgets": {b.axis: {"most": b.most, "share": b.share} for b in goal.budgets},
        "precisions": list(made.costs.precisions[: made.costs.candidates]),
        "sensitivity": {"name": made.sensitivity.name, "samples": made.sensitivity.samples},
        "groups": [
            {
                "name": group.name,
                "layers": list(group.layers),
                "macs": group.macs,
                "errors": [made.space.problem.alone(g, k) for k in range(made.costs.candidates)],
                "costs": made.space.problem.costs[g, : made.costs.candidates].tolist(),
            }
            for g, group in enumerate(made.costs.groups)
        ],
        "between": [
            {
                "tensors": list(tensor.tensors),
                "groups": list(tensor.groups),
                "errors": made.sensitivity.error[t].tolist(),
            }
            for t, tensor in enumerate(made.sensitivity.between, len(made.costs.groups))
        ],
        "asked": len(found.asked),
        "kept": found.kept,
        "stopped": found.stopped,
        "metric": found.answer.metric if found.answer is not None else "",
        "drop": found.answer.drop if found.answer is not None else None,
        "margin": found.answer.margin if found.answer is not None else None,
        "sqnr_db": found.answer.sqnr_db if found.answer is not None else None,
        "samples": found.answer.samples if found.answer is not None else 0,
        "cost": found.point.cost if found.point is not None else None,
        "cheapest_cost": min((p.cost for p in made.space.front), default=None),
        "whole_cost": max((p.cost for p in made.space.front), default=None),
        "precisions_chosen": (
            dict(Counter(made.precisions(found.point.chosen))) if found.point is not None else {}
        ),
        "additivity": additivity(made),
        "assumptions": list(table.assumptions),
    }

"""A finished search of one target read back from `search.json`: its points, groups and limits."""

__all__ = ["SavedGroup", "SavedPoint", "SavedSearch", "SavedSharedTensor", "load_search"]

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quant.common.errors import InputError, reason_of
from quant.job.search_goal import AXES

COSTS = {"latency": "latency_ms", "size": "size_mb", "ops": "gops"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedGroup:
    """Layers that share one precision.

    Attributes:
        name: Name of the group.
        layers: Node names.
        macs: Multiply-accumulates of one sample.
        errors: Error that the group adds, by number of the precision, without the tensors that it
            shares with other groups; inf where the group cannot have the precision.
        costs: Cost by number of the precision, in the unit of the search's axis.
    """

    name: str
    layers: tuple[str, ...]
    macs: int
    errors: tuple[float, ...]
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSharedTensor:
    """A tensor that several groups read and that is quantized once for all of them.

    Attributes:
        tensors: Name of the tensor, and of its views.
        groups: Numbers of the groups, each of which alone makes it quantized.
        errors: Error by number of the precision; several groups of one precision add it once.
    """

    tensors: tuple[str, ...]
    groups: tuple[int, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPoint:
    """One plan of a search.

    Attributes:
        number: Number of the plan, from 1; its recipe has that name.
        source: "front", "uniform", "greedy" or "neighbour".
        chosen: Whether the search chose this plan.
        assignment: Number of the precision of each group.
        cost: Cost in the unit of the search's axis.
        costs: Cost by axis; an axis without a known cost is missing.
        error: Sum of the errors under the additive model.
        predicted_db: SQNR at the worst output if errors add up; inf without any error.
        measured_db: Measured SQNR at the worst output; None where it was not measured.
        drop: Drop of the metric as a share; None where it was not measured.
        margin: Standard error of the drop.
        layers: Number of layers of each precision, in words.
    """

    number: int
    source: str
    chosen: bool
    assignment: tuple[int, ...]
    cost: float
    costs: Mapping[str, float]
    error: float
    predicted_db: float
    measured_db: float | None
    drop: float | None
    margin: float
    layers: str

    @property
    def sqnr_db(self) -> float:
        """The measured SQNR; the predicted one where it was not measured."""
        return self.predicted_db if self.measured_db is None else self.measured_db


@dataclass(frozen=True, kw_only=True)
class SavedSearch:
    """The search of one target.

    Attributes:
        facts: Content of `search.json` except its groups, tensors and points.
        axis: Kind of the cost, one of AXES.
        precisions: The precisions that each group could have, cheapest first.
        groups: The groups, in the order of the network.
        between: Tensors that several groups share.
        points: The plans by number: the front first, from its cheapest plan on.
        min_sqnr: Lowest allowed SQNR in dB; None for no such limit.
        max_drop: Greatest allowed drop of the metric, a share; None for no such limit.
        most_cost: Budget in the unit of the axis; None for no budget.
    """

    facts: Mapping[str, Any]
    axis: str
    precisions: tuple[str, ...]
    groups: tuple[SavedGroup, ...]
    between: tuple[SavedSharedTensor, ...]
    points: tuple[SavedPoint, ...]
    min_sqnr: float | None
    max_drop: float | None
    most_cost: float | None

    @property
    def unit(self) -> str:
        """The unit of the axis: ms, MB or Gop."""
        return AXES[self.axis]

    @property
    def winner(self) -> SavedPoint | None:
        """The chosen plan; None where no plan was measured."""
        return next((p for p in self.points if p.chosen), None)

    @property
    def kept(self) -> bool:
        """Whether the winner is within all limits, including the budget."""
        best, most = self.winner, self.most_cost
        paid = best is not None and (most is None or best.cost <= most * (1 + 1e-9))
        return paid and bool(self.facts.get("kept"))

    def uniform(self, point: SavedPoint) -> str | None:
        """Return the precision that all groups of a point share; None where they differ."""
        numbers = set(point.assignment)
        return self.precisions[numbers.pop()] if len(numbers) == 1 else None

    def recipe(self, point: SavedPoint) -> str:
        """Return the path of a point's recipe, relative to the target's folder."""
        return f"search/front/{point.number:0{len(str(len(self.points)))}}.toml"


def load_search(path: Path) -> SavedSearch | None:
    """Read `search.json`; None where the file does not exist.

    Raises:
        InputError: The file cannot be read, or was not written by a search of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    try:
        return _search(json.loads(text, parse_constant=lambda _: None))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = reason_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return InputError(
        f"{path}: not a readable search of this version: {reason}. Run quant search again, or "
        "remove the folder it is in."
    )


def _search(content: dict[str, Any]) -> SavedSearch:
    axis, count = str(content["axis"]), len(content["precisions"])
    if axis not in AXES:
        raise ValueError(f"the axis is one of {', '.join(AXES)}, saw {axis!r}")
    alone = tuple(_group(row, count) for row in content["groups"])
    tensors = tuple(_between(row, len(alone), count) for row in content.get("between", []))
    groups = tuple(_without(group, g, tensors) for g, group in enumerate(alone))
    return SavedSearch(
        facts={k: v for k, v in content.items() if k not in ("groups", "between", "points")},
        axis=axis,
        precisions=tuple(str(name) for name in content["precisions"]),
        groups=groups,
        between=tensors,
        points=tuple(_point(row, axis, len(groups), count) for row in content["points"]),
        min_sqnr=_known(content["min_sqnr_db"]),
        max_drop=_known(content["max_drop"]),
        most_cost=_known(content["most_cost"]),
    )


def _known(value: Any) -> float | None:
    return None if value is None else float(value)


def _or_inf(value: Any) -> float:
    """Return a number; JSON's null stands for infinity."""
    return math.inf if value is None else float(value)


def _group(row: Mapping[str, Any], count: int) -> SavedGroup:
    if len(row["errors"]) != count or len(row["costs"]) != count:
        raise ValueError(f"a group has an error and a cost for each of {count} precisions")
    return SavedGroup(
        name=str(row["name"]),
        layers=tuple(str(x) for x in row["layers"]),
        macs=int(row["macs"]),
        errors=tuple(_or_inf(e) for e in row["errors"]),
        costs=tuple(_or_inf(c) for c in row["costs"]),
    )


def _without(group: SavedGroup, number: int, tensors: Sequence[SavedSharedTensor]) -> SavedGroup:
    """Return the group with the errors of shared tensors subtracted from its own."""
    shared = [t.errors for t in tensors if number in t.groups]
    own = [max(0.0, e - math.fsum(x[k] for x in shared)) for k, e in enumerate(group.errors)]
    return replace(group, errors=tuple(own))


def _between(row: Mapping[str, Any], groups: int, count: int) -> SavedSharedTensor:
    inside = tuple(int(g) for g in row["groups"])
    if len(row["errors"]) != count or not all(0 <= g < groups for g in inside):
        raise ValueError(f"a tensor has an error for each of {count} precisions, and known groups")
    errors = tuple(_or_inf(e) for e in row["errors"])
    return SavedSharedTensor(tensors=tuple(map(str, row["tensors"])), groups=inside, errors=errors)


def _point(row: Mapping[str, Any], axis: str, groups: int, count: int) -> SavedPoint:
    assignment = tuple(int(k) for k in row["assignment"])
    if len(assignment) != groups or not all(0 <= k < count for k in assignment):
        raise ValueError(f"a point has one of {count} precisions for each of {groups} groups")
    costs = {name: float(row[key]) for name, key in COSTS.items() if row[key] is not None}
    return SavedPoint(
        number=int(row["point"]),
        source=str(row["source"]),
        chosen=bool(row["chosen"]),
        assignment=assignment,
        cost=costs[axis],
        costs=costs,
        error=_or_inf(row["predicted_error"]),
        predicted_db=_or_inf(row["predicted_sqnr_db"]),
        measured_db=_known(row["measured_sqnr_db"]),
        drop=_known(row["measured_drop"]),
        margin=_known(row.get("drop_margin")) or 0.0,
        layers=str(row["layers"]),
    )

"""SavedSearch: what `quant search` left of one target, read back: its points, groups and limits."""

__all__ = ["SavedGroup", "SavedPoint", "SavedSearch", "SavedSharedTensor", "load_search"]

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quant.common.errors import InputError
from quant.job.search_goal import AXES

COSTS = {"latency": "latency_ms", "size": "size_mb", "ops": "gops"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedGroup:
    """Layers of one precision.

    Attributes:
        name: Of the group.
        layers: Node names.
        macs: Multiply-accumulates of one sample.
        errors: By number of the precision, what the group adds beside the tensors between groups;
            inf where it cannot have it.
        costs: By number of the precision, in the unit of the search's axis.
    """

    name: str
    layers: tuple[str, ...]
    macs: int
    errors: tuple[float, ...]
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSharedTensor:
    """A tensor that is quantized where it is made, for all who read it.

    Attributes:
        tensors: Its name, and those of its views.
        groups: By number, of which each alone has it quantized.
        errors: By number of the precision; several groups of one precision add it once.
    """

    tensors: tuple[str, ...]
    groups: tuple[int, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPoint:
    """One plan of a search.

    Attributes:
        number: From 1; its recipe has that name.
        source: "front", "uniform", "greedy" or "neighbour".
        chosen: Whether it is the winner.
        assignment: By group the number of its precision.
        cost: In the unit of the search's axis.
        costs: By axis; an axis that is not known is missing.
        error: Sum of the errors under the additive model.
        predicted_db: SQNR at the worst output if errors add up; inf without any error.
        measured_db: SQNR at the worst output; None where it was not measured.
        drop: What the metric lost, a share; None where it was not measured.
        margin: Standard error of the drop.
        layers: How many layers have each precision, in words.
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
        """What was measured; where nothing was, what is predicted."""
        return self.predicted_db if self.measured_db is None else self.measured_db


@dataclass(frozen=True, kw_only=True)
class SavedSearch:
    """A search of one target.

    Attributes:
        facts: `search.json` but for its groups, tensors and points.
        axis: What was paid with, one of AXES.
        precisions: Among which each group chose, cheapest first.
        groups: In the order of the network.
        between: Tensors between groups.
        points: As they are numbered, the front first and the cheapest of it at its head.
        min_sqnr: Least SQNR in dB; None for no such limit.
        max_drop: Most that the metric might lose, a share; None for no such limit.
        most_cost: Budget in the axis's unit; None for none.
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
        """The plan that was found; None where nothing was measured."""
        return next((p for p in self.points if p.chosen), None)

    @property
    def kept(self) -> bool:
        """Whether the winner is within all limits, the budget among them."""
        best, most = self.winner, self.most_cost
        paid = best is not None and (most is None or best.cost <= most * (1 + 1e-9))
        return paid and bool(self.facts.get("kept"))

    def uniform(self, point: SavedPoint) -> str | None:
        """Return the one precision that all groups of a point have; None where there are several."""
        every = set(point.assignment)
        return self.precisions[every.pop()] if len(every) == 1 else None

    def recipe(self, point: SavedPoint) -> str:
        """Return the path of a point's recipe inside the target's folder."""
        return f"search/front/{point.number:0{len(str(len(self.points)))}}.toml"


def load_search(path: Path) -> SavedSearch | None:
    """Read `search.json`; None where there is none.

    Raises:
        InputError: It cannot be read, or is not what a search writes.
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
    said = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return InputError(
        f"{path}: not a readable search of this version: {said}. Run quant search again, or "
        "remove the folder it is in."
    )


def _search(told: dict[str, Any]) -> SavedSearch:
    axis, count = str(told["axis"]), len(told["precisions"])
    if axis not in AXES:
        raise ValueError(f"the axis is one of {', '.join(AXES)}, saw {axis!r}")
    alone = tuple(_group(row, count) for row in told["groups"])
    tensors = tuple(_between(row, len(alone), count) for row in told.get("between", []))
    groups = tuple(_without(group, g, tensors) for g, group in enumerate(alone))
    return SavedSearch(
        facts={k: v for k, v in told.items() if k not in ("groups", "between", "points")},
        axis=axis,
        precisions=tuple(str(name) for name in told["precisions"]),
        groups=groups,
        between=tensors,
        points=tuple(_point(row, axis, len(groups), count) for row in told["points"]),
        min_sqnr=_known(told["min_sqnr_db"]),
        max_drop=_known(told["max_drop"]),
        most_cost=_known(told["most_cost"]),
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
    """Take out of a group's error what the tensors between groups have of it."""
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

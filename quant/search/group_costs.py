"""The costs of a precision for each group, as a knapsack."""

__all__ = ["Costs", "costs_of"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.cost.layer_costs import CostTable
from quant.formats.precision import Precision
from quant.graph.layers import VIEWS, source_of
from quant.graph.prepared_graph import Graph
from quant.job.search_goal import Budget
from quant.search.groups import Group, SharedTensor
from quant.search.knapsack import Link, Problem, Shared

F64 = NDArray[np.float64]

IO = Precision.FLOAT32
"""Precision of the network's inputs and outputs."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The costs of a graph's groups on every axis.

    Attributes:
        groups: The groups that choose.
        precisions: The candidates, and behind them what is fixed elsewhere in the graph.
        candidates: How many of `precisions` a group may choose.
        axes: By axis float64 `[G + F, K]`: a row for each group, and one for each fixed precision.
        links: Conversions, which cost time alone.
        fixed: By layer name the precision of what is in no group.
    """

    groups: tuple[Group, ...]
    precisions: tuple[Precision, ...]
    candidates: int
    axes: Mapping[str, F64]
    links: tuple[Link, ...]
    fixed: Mapping[str, Precision]

    def problem(
        self,
        errors: F64,
        axis: str,
        budgets: Sequence[Budget] = (),
        tensors: Sequence[SharedTensor] = (),
    ) -> Problem:
        """Return the knapsack of one axis.

        Args:
            errors: float64 `[G + T, candidates]`: of the groups, and of the tensors between them.
            axis: The one that is weighed against the error.
            budgets: Limits on the other axes.
            tensors: Those tensors.
        """
        count, every = len(self.groups), len(self.precisions)
        rows = len(self.axes[axis])
        full = np.full((rows, every), np.inf)
        full[:count, : self.candidates] = np.maximum(errors[:count], 0.0)
        for row, name in enumerate(sorted(set(self.fixed.values()) | {IO}), count):
            full[row, self.precisions.index(name)] = 0.0
        others = tuple(
            (self.axes[b.axis], b.limit(self._whole(b.axis, full)))
            for b in budgets
            if b.axis != axis
        )
        shared = []
        for tensor, row in zip(tensors, errors[count:], strict=True):
            wide = np.zeros(every)
            wide[: self.candidates] = np.maximum(row, 0.0)
            shared.append(Shared(tensor=tensor.tensors[0], groups=tensor.groups, errors=wide))
        return Problem(
            errors=full,
            costs=self.axes[axis],
            shared=tuple(shared),
            links=self.links if axis == "latency" else (),
            others=others,
            fixed=rows - count,
        )

    def _whole(self, axis: str, errors: F64) -> float:
        """Return the cost of the most exact plan, without conversions."""
        return math.fsum(self.axes[axis][g, k] for g, k in enumerate(errors.argmin(axis=1)))


def costs_of(
    graph: Graph,
    table: CostTable,
    groups: Sequence[Group],
    candidates: Sequence[Precision],
    others: Mapping[str, Precision],
) -> Costs:
    """Return the costs of the groups.

    Args:
        graph: The prepared graph.
        table: What each layer costs at each precision.
        groups: Those that choose.
        candidates: Among what.
        others: By layer name the precision of layers that are in no group.
    """
    inside = {name: g for g, group in enumerate(groups) for name in group.layers}
    fixed = {x.name: others[x.name] for x in graph.layers if x.name not in inside}
    extra = sorted(set(fixed.values()) | {IO})
    precisions = (*candidates, *(p for p in extra if p not in candidates))
    rows = {name: len(groups) + i for i, name in enumerate(extra)}
    owner = inside | {name: rows[precision] for name, precision in fixed.items()}
    shape = (len(groups) + len(extra), len(precisions))
    axes = {axis: np.zeros(shape) for axis in ("latency", "size", "ops")}
    for layer in graph.layers:
        for k, precision in enumerate(precisions):
            cost = table.layers.get((layer.name, precision))
            if cost is None or (layer.name in fixed and precision != fixed[layer.name]):
                continue
            row = owner[layer.name]
            axes["latency"][row, k] += cost.milliseconds
            axes["size"][row, k] += cost.weight_bytes / 1e6
            axes["ops"][row, k] += (
                cost.macs * precision.weight_bits * precision.activation_bits / 1e9
            )
    return Costs(
        groups=tuple(groups),
        precisions=precisions,
        candidates=len(candidates),
        axes=axes,
        links=_links(graph, table, owner, rows[IO], precisions),
        fixed=fixed,
    )


def _links(
    graph: Graph,
    table: CostTable,
    owner: Mapping[str, int],
    io: int,
    precisions: Sequence[Precision],
) -> tuple[Link, ...]:
    """Return the tensors between rows of the knapsack; views are looked through."""
    makers = {
        str(v.name): owner[x.name] for x in graph.layers if x.op not in VIEWS for v in x.outputs
    }
    readers_of: dict[str, dict[int, None]] = {}
    for layer in graph.layers:
        for value in layer.data if layer.op not in VIEWS else []:
            readers_of.setdefault(source_of(graph, str(value.name)), {})[owner[layer.name]] = None
    for value in graph.outputs:
        readers_of.setdefault(source_of(graph, str(value.name)), {})[io] = None
    links = []
    for tensor, readers in readers_of.items():
        maker = makers.get(tensor, io)
        others = tuple(r for r in readers if r != maker)
        costs = np.array([[table.conversion(tensor, p, q) for q in precisions] for p in precisions])
        if others and costs.any():
            links.append(Link(maker=maker, readers=others, costs=costs))
    return tuple(links)

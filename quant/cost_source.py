"""Cost source: where a search has its costs from."""

__all__ = ["cost_table"]

from collections.abc import Sequence
from dataclasses import replace

from quant.compare import Samples
from quant.cost import CostTable
from quant.device import Device
from quant.goal import Goal
from quant.graph import Graph
from quant.roofline import roofline
from quant.target import Target

UNKNOWN = Device(name="unknown", title="no device", peak={"int8": 1e12}, bandwidth=None)


def cost_table(graph: Graph, target: Target, goal: Goal, samples: Sequence[Samples]) -> CostTable:
    """Return what layers cost."""
    sizes = {str(k): tuple(v.shape) for b in samples[:1] for k, v in b.feeds.items()}
    if target.devices:
        return roofline(graph, target, target.devices[0], sizes)
    table = roofline(graph, target, UNKNOWN, sizes)
    untimed = {key: replace(cost, milliseconds=0.0) for key, cost in table.layers.items()}
    said = f"The time of a layer on {target.title} is not known: it is no part of the cost."
    return replace(table, layers=untimed, assumptions=(said,))

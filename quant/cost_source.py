"""Cost source: where a search has the cost of layers from."""

__all__ = ["cost_table"]

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from quant.compare import Samples
from quant.cost import CostTable
from quant.device import Device
from quant.device_file import pick_device
from quant.graph import Graph
from quant.job import Job
from quant.latency_csv import read_latency
from quant.latency_names import LayerNames
from quant.measured import with_measured
from quant.predicted import device_meant, single_sizes
from quant.roofline import roofline
from quant.target import Target

UNKNOWN = Device(
    name="no device", title="no device", peak={"int8": 1e12, "float32": 2.5e11}, bandwidth=None
)
"""Stands in for a device of which nothing is known, where measured times scale it."""


def cost_table(graph: Graph, target: Target, job: Job, samples: Sequence[Samples]) -> CostTable:
    """Return what layers cost on the device of a search, for one sample.

    The times are measured ones with `--latency`, those of the roofline of a device where there is
    one, and else 0: size and operations are known in any case.

    Raises:
        InputError: A device or a file of times is wrong, or tells of other layers.
    """
    shapes = {str(k): tuple(v.shape) for b in samples[:1] for k, v in b.feeds.items()}
    sizes = single_sizes(graph, shapes)
    goal = job.goal
    if goal is not None and goal.device is not None:
        device: Device | None = pick_device(target.title, target.devices, goal.device, None)
    else:
        device = device_meant(target.devices, (job.soc_version, job.nnie_version))
    table = roofline(graph, target, device or UNKNOWN, sizes)
    if goal is not None and goal.latency is not None:
        found = read_latency(Path(goal.latency), LayerNames(graph), table)
        return with_measured(table, found)
    if device is not None:
        return table
    untimed = {key: replace(cost, milliseconds=0.0) for key, cost in table.layers.items()}
    said = f"The time of a layer on {target.title} is not known: it is no part of the cost."
    return replace(table, layers=untimed, assumptions=(said,))

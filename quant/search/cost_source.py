"""The costs of layers for a search: measured times, a device's roofline, or this machine's."""

__all__ = ["cost_table"]

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from quant.compare.batch import Batch
from quant.cost.device_choice import default_device, single_sizes
from quant.cost.device_file import pick_device
from quant.cost.layer_costs import CostTable
from quant.cost.measured_table import with_measured
from quant.cost.measured_times import LayerNames, read_latency
from quant.cost.roofline import roofline
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.job.search_goal import SearchGoal
from quant.job.settings import Job
from quant.latency.measure import TimedNetwork
from quant.latency.measured_cost_file import measured_here
from quant.profile.statistics import Profile
from quant.target.device import Device
from quant.target.table import Target

UNKNOWN = Device(
    name="no device",
    title="no device",
    peak={Precision.INT8: 1e12, Precision.FLOAT32: 2.5e11},
    bandwidth=None,
)
"""Stands in for a device of which nothing is known, where measured times scale it."""


def cost_table(
    graph: Graph,
    target: Target,
    job: Job,
    samples: Sequence[Batch],
    profile: Profile | None = None,
) -> CostTable:
    """Return what layers cost on the device of a search, for one sample.

    The times are those of `--latency`; or of the roofline of `--device`; or measured on this machine
    where that runs the target; or of the roofline of the target's own device. Where there is none
    they are 0: size and operations are known in any case.

    Args:
        graph: The prepared graph.
        target: The table.
        job: Says which device, and where measured times are kept.
        samples: The first of them tells the sizes of the inputs.
        profile: The graph's profile, to measure with; None to measure nothing.

    Raises:
        InputError: A device or a file of times is wrong, or tells of other layers.
    """
    shapes = {str(k): tuple(v.shape) for b in samples[:1] for k, v in b.feeds.items()}
    sizes = single_sizes(graph, shapes)
    goal = job.goal or SearchGoal()
    if goal.device is not None:
        device: Device | None = pick_device(target.title, target.devices, goal.device, None)
    else:
        device = default_device(target.devices, _version(target, job))
    table = roofline(graph, target, device or UNKNOWN, sizes)
    if goal.latency is not None:
        times = read_latency(Path(goal.latency), LayerNames(graph), table)
        return with_measured(table, times)
    if device is None and profile is not None and samples and _timed(goal):
        feeds = {name: x[:1] if _open(graph, name) else x for name, x in samples[0].feeds.items()}
        path = job.out / target.name / "search" / "latency.json"
        network = TimedNetwork(
            graph=graph, profile=profile, target=target, feeds=feeds, threads=job.threads
        )
        measured = measured_here(network, table, path)
        if measured is not None:
            return measured
    if device is not None:
        return table
    untimed = {key: replace(cost, milliseconds=0.0) for key, cost in table.layers.items()}
    assumption = f"The time of a layer on {target.title} is not known: it is no part of the cost."
    return replace(table, layers=untimed, assumptions=(assumption,))


def _version(target: Target, job: Job) -> str | None:
    """Return the version or chip that a job asks of a target; None where the target has only one."""
    return target.version.of(job.versions) if target.version is not None else None


def _timed(goal: SearchGoal) -> bool:
    """Return whether a search weighs time against the error."""
    axes = [goal.axis] if goal.axis else [b.axis for b in goal.budgets]
    return not axes or "latency" in (*axes, *(b.axis for b in goal.budgets))


def _open(graph: Graph, name: str) -> bool:
    """Return whether an input takes any number of samples."""
    shape = graph.values[name].shape
    return shape is not None and len(shape) > 0 and not isinstance(shape[0], int)

"""Measure the time of every layer in float32 and int8, and of conversions, on this machine.

Three models run in turn under the runtime's profiler (`kernel_times.py`): the float graph, the export
with every layer in integers, and an export with every second layer with weights in float. Kernels are
traced back to layers by numbered names (`numbered_nodes.py`). A kernel that only changes the form of
numbers (quantizer, reorder, transpose of a layout) is a conversion where the precision changes, else a
part of its layer.
"""

__all__ = ["MeasuredCost", "TimedNetwork", "exported_model", "measure_cost", "plan_with"]

import glob
import os
import platform
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quant.choose.planner import Planner
from quant.cost.layer_costs import CostTable
from quant.cost.work import with_input_sizes
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph, weight_of
from quant.latency.cost_of_kernels import cost_table
from quant.latency.kernel_layers import mapped_share
from quant.latency.kernel_times import kernel_times
from quant.latency.numbered_nodes import with_numbered_names
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.runtimes.runtime import Runtime
from quant.target.deployment import Deployment
from quant.target.table import Target

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class MeasuredCost:
    """A measured cost table, and how much of the time it accounts for.

    Attributes:
        table: The costs of one sample.
        mapped: Share of the time that belongs to a layer or a conversion, 0 to 1, by model
            ("float32", "int8", "mixed").
        totals: Sum of the kernels in milliseconds of one inference, by model.
    """

    table: CostTable
    mapped: Mapping[str, float]
    totals: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedNetwork:
    """A network whose layers are timed on this machine, and the input it runs on.

    Attributes:
        graph: The prepared graph.
        profile: Profile of the graph; its ranges decide where a quantizer rounds, not what it costs.
        target: Target whose main file is an ONNX file that a runtime here executes.
        feeds: Tensors of one inference by input name.
        threads: Threads inside one operator; 0 for all cores.
    """

    graph: Graph
    profile: Profile
    target: Target
    feeds: Mapping[str, Array]
    threads: int = 1


def measure_cost(
    network: TimedNetwork, *, runtime: Runtime | None = None, rounds: int = 18
) -> MeasuredCost:
    """Measure each layer in float32 and in the target's int8, and what conversions cost.

    Args:
        network: The network and its input.
        runtime: The runtime to measure in; None for the first runtime of the target.
        rounds: How often each model runs.

    Raises:
        UnsupportedError: The runtime is not installed.
    """
    graph, profile, target = network.graph, network.profile, network.target
    feeds, threads = network.feeds, network.threads
    runtime = runtime or target.runtimes[0]
    weighted = [x.name for x in graph.layers if weight_of(x.node) is not None]
    plans = {
        "int8": plan_with(graph, profile, target, ()),
        "mixed": plan_with(graph, profile, target, weighted[1::2]),
    }
    models = {"float32": graph.model}
    models |= {name: exported_model(graph, plan, target) for name, plan in plans.items()}
    copies = {name: with_numbered_names(model, graph) for name, model in models.items()}
    times = kernel_times(
        {name: copy.model for name, copy in copies.items()},
        {n: {c.inputs[k]: x for k, x in feeds.items()} for n, c in copies.items()},
        runtime=runtime,
        threads=threads,
        rounds=rounds,
    )
    table = cost_table(
        with_input_sizes(graph, {name: tuple(x.shape) for name, x in feeds.items()}),
        target.name,
        f"{runtime.name} {runtime.version}, {_cpu()}, {threads or os.cpu_count()} threads",
        times,
        {
            "float32": {x.name: Precision.FLOAT32 for x in graph.layers},
            **{n: {k: x.precision for k, x in plan.layers.items()} for n, plan in plans.items()},
        },
    )
    return MeasuredCost(
        table=table,
        mapped={name: mapped_share(kernels) for name, kernels in times.items()},
        totals={name: sum(k.milliseconds for k in kernels) for name, kernels in times.items()},
    )


def plan_with(graph: Graph, profile: Profile, target: Target, floats: Collection[str]) -> Plan:
    """Return the target's plan with some layers in float32.

    Args:
        graph: The prepared graph.
        profile: Profile of the graph.
        target: The target.
        floats: Names of the layers in float32.
    """
    rules = tuple(Rule(match=glob.escape(n), precision=Precision.FLOAT32) for n in sorted(floats))
    return Planner(target=target, recipe=Recipe(rules=rules), observer="minmax").choose(
        graph, profile
    )


def exported_model(graph: Graph, plan: Plan, target: Target) -> ir.Model:
    """Return the main file that a target exports for a plan."""
    with tempfile.TemporaryDirectory() as folder:
        written = target.write(graph, plan, Path(folder), Deployment())
        model = ir.load(Path(folder) / written.files[0])
        return ir.external_data.load_to_model(model)


def _cpu() -> str:
    """Return the processor's name, or its architecture where no file tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return named[0] if named else platform.machine()

"""What a target will compute for a plan: the graph as it is written, and a session that runs it.

Whatever decides between whole plans opens them here: the choice of the observer, the steps of
`--effort`, a search. What quantizes single tensors or layers in one session (sensitivities, layer tables,
the search of ranges) uses the plan's own quantizers, by `quantize_graph`.
"""

__all__ = ["open_plan", "simulation_of"]

from typing import Any

import onnx_ir as ir

from quant.graph.prepared_graph import Graph
from quant.graph.session import open_simulation
from quant.plan.tensor_plans import Plan
from quant.simulate.simulated_graph import quantize_graph
from quant.target.check_plan import check_plan
from quant.target.table import Target


def simulation_of(graph: Graph, plan: Plan, target: Target) -> ir.Model:
    """Return the graph that computes in ONNX Runtime what the target will compute.

    Raises:
        InputError: The plan does not fit the graph.
    """
    check_plan(plan, graph, target)
    if target.simulate is not None:
        return target.simulate(graph, plan)
    return quantize_graph(graph, plan, target, weight_form="integer")


def open_plan(graph: Graph, plan: Plan, target: Target, threads: int = 0) -> Any:
    """Return an ONNX Runtime session of `simulation_of` that computes in float32 between grids.

    Args:
        graph: The prepared graph that the plan is for.
        plan: The plan.
        target: The table of its target.
        threads: Threads inside one operator; 0 for all cores.

    Raises:
        InputError: The plan does not fit the graph.
    """
    return open_simulation(simulation_of(graph, plan, target), threads)

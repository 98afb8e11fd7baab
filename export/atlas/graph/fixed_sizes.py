"""Fix a graph's dynamic axes to the sizes of its samples, because ATC compiles for fixed sizes."""

__all__ = ["fixed_graph", "fixed_plan"]

from dataclasses import replace

from quant.graph.fixed_shapes import with_fixed_shapes
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment, sample_shapes


def fixed_graph(graph: Graph, deployment: Deployment) -> Graph:
    """Return the graph with batch 1 and the sizes that `deployment` knows.

    A graph whose sizes behind the batch are fixed, or whose sizes are not all known, is returned as
    it is.
    """
    inputs = [list(v.shape)[1:] if v.shape is not None else [None] for v in graph.inputs]
    if all(isinstance(d, int) for dims in inputs for d in dims):
        return graph
    sizes = sample_shapes(graph, deployment)
    if not all(d for shape in sizes.values() for d in shape):
        return graph
    return Graph(with_fixed_shapes(graph, sizes), graph.name, graph.source, graph.notes)


def fixed_plan(plan: Plan, graph: Graph, fixed: Graph) -> Plan:
    """Return the plan of `graph` for `fixed`, without the nodes that became constants."""
    if fixed is graph:
        return plan
    names = {str(node.name) for node in fixed.nodes}
    layers = {name: layer for name, layer in plan.layers.items() if name in names}
    return replace(plan, graph=fixed.fingerprint, layers=layers)

"""Fix a graph's dynamic axes, as ATC compiles for fixed sizes; set refused layers to float16."""

__all__ = ["finalized_plan", "fixed_graph", "fixed_plan", "without_refused"]

from dataclasses import replace

from quant.common.errors import UnsupportedError
from quant.deploy.fallback import kept_float
from quant.export.atlas.graph.bias_shifts import with_bias_shifts
from quant.export.atlas.graph.integer_layers import integer_layer
from quant.export.atlas.graph.limits import INTEGER_OPS
from quant.formats.precision import Precision
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


REASON = "Atlas cannot run it in INT8"


def without_refused(graph: Graph, plan: Plan) -> tuple[Plan, dict[str, str]]:
    """Return the plan with the refused layers in FP16, and the reason for each such layer.

    Grids without a reader are dropped; a plan without refused layers is returned as it is.
    """
    reasons: dict[str, str] = {}
    for node in with_bias_shifts(graph, plan).graph:
        layer = plan.layers.get(str(node.name))
        if (
            layer is None
            or layer.precision is not Precision.INT8
            or node.op_type not in INTEGER_OPS
        ):
            continue
        try:
            integer_layer(node, plan)
        except UnsupportedError as error:
            reasons[str(node.name)] = str(error)
    return kept_float(graph, plan, dict.fromkeys(reasons, REASON), Precision.FLOAT16), reasons


def finalized_plan(graph: Graph, plan: Plan) -> Plan:
    """Return the plan that is written with `allow_fallback`."""
    return without_refused(graph, plan)[0]

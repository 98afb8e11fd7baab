"""Bound: a graph with open axes at the sizes of its samples, for ATC compiles for fixed sizes."""

__all__ = ["bound_graph", "bound_plan", "settled", "without_refused"]

from dataclasses import replace

from quant.common.errors import UnsupportedError
from quant.deploy.fallback import kept_float
from quant.export.atlas.graph.edit import corrected
from quant.export.atlas.graph.integer_layers import integer_layer
from quant.export.atlas.graph.limits import INTEGER_OPS
from quant.formats.precision import Precision
from quant.graph.fixed_shapes import with_fixed_shapes
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment, sample_shapes


def bound_graph(graph: Graph, deployment: Deployment) -> Graph:
    """Return the graph with batch 1 and the sizes that `deployment` knows.

    One whose sizes behind the batch are fixed, or of which a size is not known, comes back as it is.
    """
    inputs = [list(v.shape)[1:] if v.shape is not None else [None] for v in graph.inputs]
    if all(isinstance(d, int) for dims in inputs for d in dims):
        return graph
    sizes = sample_shapes(graph, deployment)
    if not all(d for shape in sizes.values() for d in shape):
        return graph
    return Graph(with_fixed_shapes(graph, sizes), graph.name, graph.source, graph.notes)


def bound_plan(plan: Plan, graph: Graph, whole: Graph) -> Plan:
    """Return the plan of `graph` for what `bound_graph` made of it; nodes that became constants go."""
    if whole is graph:
        return plan
    names = {str(node.name) for node in whole.nodes}
    layers = {name: layer for name, layer in plan.layers.items() if name in names}
    return replace(plan, graph=whole.fingerprint, layers=layers)


BECAUSE = "Atlas cannot run it in INT8"


def without_refused(graph: Graph, plan: Plan) -> tuple[Plan, dict[str, str]]:
    """Return the plan with the layers that Atlas refuses in FP16, and why, by layer.

    Grids that nobody reads any more are dropped; a plan without such layers comes back as it is.
    """
    why: dict[str, str] = {}
    for node in corrected(graph, plan).graph:
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
            why[str(node.name)] = str(error)
    return kept_float(graph, plan, dict.fromkeys(why, BECAUSE), Precision.FLOAT16), why


def settled(graph: Graph, plan: Plan) -> Plan:
    """Return the plan that is written with `allow_fallback`."""
    return without_refused(graph, plan)[0]

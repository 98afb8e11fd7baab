"""Layers that Atlas cannot run in INT8 stay float, where the user allows it."""

__all__ = ["settled", "without_refused"]

from quant.common.errors import UnsupportedError
from quant.deploy.fallback import kept_float
from quant.export.atlas.graph.edit import corrected
from quant.export.atlas.graph.integer_layers import integer_layer
from quant.export.atlas.graph.limits import INTEGER_OPS
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan

BECAUSE = "Atlas cannot run it in INT8"


def without_refused(graph: Graph, plan: Plan) -> tuple[Plan, dict[str, str]]:
    """Return the plan with the layers that Atlas refuses in FP16, and why, by layer.

    Grids that nobody reads any more are dropped; a plan without such layers comes back as it is.
    """
    why: dict[str, str] = {}
    for node in corrected(graph, plan).graph:
        layer = plan.layers.get(str(node.name))
        if layer is None or layer.precision != "int8" or node.op_type not in INTEGER_OPS:
            continue
        try:
            integer_layer(node, plan)
        except UnsupportedError as error:
            why[str(node.name)] = str(error)
    return kept_float(graph, plan, dict.fromkeys(why, BECAUSE), "float16"), why


def settled(graph: Graph, plan: Plan) -> Plan:
    """Return the plan that is written with `allow_fallback`."""
    return without_refused(graph, plan)[0]

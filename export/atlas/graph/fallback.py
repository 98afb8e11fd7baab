"""Set the layers that Atlas cannot run in INT8 to float16."""

__all__ = ["finalized_plan", "without_refused"]

from quant.common.errors import UnsupportedError
from quant.deploy.fallback import kept_float
from quant.export.atlas.graph.bias_shifts import with_bias_shifts
from quant.export.atlas.graph.integer_layers import integer_layer
from quant.export.atlas.graph.limits import INTEGER_OPS
from quant.formats.precision import Precision
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan

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

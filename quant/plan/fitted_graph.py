"""The graph of a plan: the prepared one, or the one with better weights that lies beside the plan.

A step that improves weights makes a graph of its own for each target, `graph.onnx` in the target's
folder. It says which prepared graph it comes from, and a plan says which graph it is about.
"""

__all__ = ["GRAPH_FILE", "graph_for", "save_graph"]

from pathlib import Path

import onnx_ir as ir

from quant.common.errors import InputError
from quant.graph.prepared_graph import Graph, save_model
from quant.plan.tensor_plans import Plan

GRAPH_FILE = "graph.onnx"

ORIGIN = "quant.prepared"
"""Metadata: the fingerprint of the prepared graph."""


def save_graph(graph: Graph, origin: str, path: Path) -> None:
    """Write a graph and the fingerprint of the prepared graph that it was made of."""
    model = graph.clone()
    model.metadata_props[ORIGIN] = origin
    save_model(model, path)


def graph_for(plan: Plan, plan_path: Path, graph: Graph) -> Graph:
    """Return the graph that a plan is about: `graph`, or what lies beside the plan's file.

    Where neither is, `graph` is returned, and the check of the plan says so.

    Args:
        plan: Read from `plan_path`.
        plan_path: Its file.
        graph: The prepared graph of the model that the user gave.

    Raises:
        InputError: The graph beside the plan was made of another model.
    """
    path = plan_path.parent / GRAPH_FILE
    if plan.graph == graph.fingerprint or not path.is_file():
        return graph
    model = ir.external_data.load_to_model(ir.load(path))
    origin = model.metadata_props.pop(ORIGIN, "")
    fitted = Graph(model, graph.name, graph.source, graph.notes)
    if fitted.fingerprint != plan.graph:
        return graph
    if origin != graph.fingerprint:
        raise InputError(
            f"{path}: it was made of another model (fingerprint {origin[:12] or 'none'}, wanted "
            f"{graph.fingerprint[:12]}). Give the --model of that run."
        )
    return fitted

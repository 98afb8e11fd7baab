"""Add the plan's bias shifts to the biases of a graph, for the deploy model and its simulation."""

__all__ = ["with_bias_shifts"]

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.export.atlas.graph.integer_layers import bias_add
from quant.formats.precision import Precision
from quant.graph.edit import GraphEditor
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan


def with_bias_shifts(graph: Graph, plan: Plan) -> ir.Model:
    """Return a copy of the graph with the plan's bias shifts added to its biases, still in float.

    A shared bias keeps its numbers for its other readers. A MatMul without a bias gets an Add.
    """
    edit = GraphEditor(graph.clone())
    for node in list(edit.model.graph):
        shift = plan.bias_shifts.get(str(node.name))
        if shift is None or plan.layers[str(node.name)].precision is not Precision.INT8:
            continue
        add = bias_add(node)
        if node.op_type != "MatMul":
            _shift_input(edit, node, 2, shift)
        elif add is not None:
            _shift_input(edit, add, 1 - next(iter(node.outputs[0].uses())).idx, shift)
        else:
            bias = edit.constant(f"{node.name}.bias", np.asarray(shift, np.float32))
            new_add = edit.node(
                "Add", [node.outputs[0], bias], {}, (f"{node.name}.bias_add", f"{node.name}.sum")
            )
            edit.behind(node, new_add)
    edit.finish()
    return edit.model


def _shift_input(edit: GraphEditor, node: ir.Node, index: int, shift: NDArray[np.float32]) -> None:
    old = node.inputs[index] if len(node.inputs) > index else None
    bias = old.const_value.numpy() if old is not None and old.const_value is not None else 0.0
    edit.replace(node, index, np.asarray(bias + shift, np.float32))

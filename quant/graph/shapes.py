"""Infer shapes and dtypes anew, and keep what only the file knew."""

__all__ = ["infer_shapes"]

import onnx_ir as ir
import onnx_ir.passes.common as passes

from quant.common.silence import silence


def infer_shapes(model: ir.Model) -> None:
    """Give every value of the main graph the dtype and shape that onnx's inference finds.

    A value that inference does not know (the output of a contrib operator) keeps what it had.
    Inputs and outputs keep the shapes that the model declares.
    """
    before = {}
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                before[value] = value.type, value.shape
                value.type = value.shape = None
    declared = [(v, v.shape) for v in [*model.graph.inputs, *model.graph.outputs]]
    with silence():
        passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    for value, (kind, shape) in before.items():
        value.type = value.type if value.type is not None else kind
        value.shape = value.shape if value.shape is not None else shape
    for value, shape in declared:
        value.shape = shape if shape is not None else value.shape

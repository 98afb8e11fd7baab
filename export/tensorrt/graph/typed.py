"""Typed graphs for strongly typed builds: float16 layers get float16 tensors, and casts at the rim.

TensorRT 11, and 10 with --stronglyTyped, take every type from the graph. Source: NvInfer.h 11.1,
IQuantizeLayer and IDequantizeLayer; TensorRT 11 migration guide.
"""

__all__ = ["typed"]

import onnx_ir as ir
from onnx import version_converter
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from quant.common.errors import UnsupportedError
from quant.common.silence import silence
from quant.export.tensorrt.graph.float16_nodes import node_types
from quant.export.tensorrt.graph.tensorrt_retype import Retype
from quant.graph.names import name_nodes
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes
from quant.graph.without_weights import through_proto
from quant.plan.tensor_plans import Plan

OPSET = 19
"""The first opset in which QuantizeLinear takes float16 tensors and scales."""


def typed(model: ir.Model, plan: Plan, graph: Graph) -> ir.Model:
    """Return a quantized model whose float16 layers are typed float16, as the plan says.

    Inputs and outputs stay float32. A float32 layer gets float32 tensors. What an integer layer
    computes in beside its integers (its DequantizeLinear outputs, its bias) is float16 where float
    layers beside it are float16 and none is float32, so that fewer casts are needed. Data movers
    keep the type of what they move. One Cast of a tensor serves all its readers. A scale that
    float16 cannot hold within 2**-9 keeps its layer in float32; the others are rounded to float16
    wherever they stand, so that the two of a pair, and joined tensors, stay equal.

    Without float16 layers the result is a copy.

    Args:
        model: What `quantize_graph` made of the graph by the plan.
        plan: "float16" layers; anything that is neither "float16" nor "float32" is integer.
        graph: The prepared graph.

    Raises:
        InputError: A weight or constant of a float16 layer is too large for float16.
        UnsupportedError: A float16 layer's operator has no float16 form, or onnx's version
            converter cannot raise the model to opset 19.
    """
    if not any(x.precision == "float16" for x in plan.layers.values()):
        return model.clone()
    work = model.clone()
    if work.opset_imports.get("", 0) < OPSET:
        work = _raised(work)
    infer_shapes(work)
    edit = Retype(work, node_types(work, plan, graph))
    edit.run()
    infer_shapes(work)
    return work


def _raised(model: ir.Model) -> ir.Model:
    try:
        with silence():
            made = through_proto(model, lambda p: version_converter.convert_version(p, OPSET))
    except (RuntimeError, ValueError, IndexError) as error:
        said = " ".join(str(error).split()).replace("'", '"').rstrip(".")[:120]
        raise UnsupportedError(
            f"graph '{model.graph.name}': float16 layers need opset {OPSET}, and onnx's version "
            f"converter said '{said}'. Export the model with opset {OPSET}, or give the layers "
            "float32."
        ) from error
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(made)
    name_nodes(made)  # the converter leaves its own without
    return made

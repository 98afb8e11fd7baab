"""ONNX Runtime on the CPU: Q/DQ ONNX that fuses to integer kernels, and the proof that it does."""

__all__ = ["ONNXRUNTIME"]

from pathlib import Path
from typing import TYPE_CHECKING

from quant.formats.number_format import INT32, UINT8, Integer
from quant.formats.precision import Precision
from quant.runtimes.onnxruntime import ORT_CPU
from quant.runtimes.openvino import OPENVINO_CPU
from quant.target.table import TARGETS, Exported, Target

if TYPE_CHECKING:
    from quant.graph.prepared_graph import Graph
    from quant.plan.tensor_plans import Plan
    from quant.target.deployment import Deployment


def _write(graph: "Graph", plan: "Plan", folder: Path, deployment: "Deployment") -> Exported:
    from quant.export.onnxruntime.write import write

    return write(graph, plan, folder, deployment)


ONNXRUNTIME = Target(
    name="onnxruntime",
    title="ONNX Runtime",
    aliases=("ort",),
    formats={Precision.INT8: (UINT8, Integer(bits=8, signed=True, symmetric=True, narrow=True))},
    bias=INT32,
    weighted_ops=frozenset({"Conv", "Gemm", "MatMul"}),
    integer_ops=frozenset(
        {"Add", "Mul", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Concat"}
    ),
    product_ops=frozenset({"MatMul"}),
    passthrough_ops=frozenset(
        {"MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split"}
    ),
    shared_grid_ops=frozenset(),
    integer_output_ops=frozenset({"Conv"}),
    quantize_at="producer",
    fuses_residual_add=False,
    weight_form="integer",
    source=(
        "onnxruntime qdq_selectors.cc and qdq_selector_action_transformer.cc: u8 activations with "
        "zero point 0 behind a Relu, s8 symmetric weights per channel, int32 bias; equal grids in "
        "and out of MaxPool and the shape operators"
    ),
    write=_write,
    runtimes=(ORT_CPU, OPENVINO_CPU),
)


TARGETS.add("onnxruntime")(ONNXRUNTIME)

"""TensorRT: explicit Q/DQ ONNX, int8 and symmetric, placed so that layers fuse."""

__all__ = ["TENSORRT"]

from pathlib import Path
from typing import TYPE_CHECKING

from quant.export.tensorrt.check.rules import RULES
from quant.export.tensorrt.devices import DEVICES
from quant.export.tensorrt.version import TRT_VERSION
from quant.formats.number_format import INT8, Integer
from quant.formats.precision import Precision
from quant.formats.short_floats import FLOAT8
from quant.target.finding import Finding
from quant.target.table import TARGETS, Exported, Target

if TYPE_CHECKING:
    from quant.graph.prepared_graph import Graph
    from quant.plan.tensor_plans import Plan
    from quant.target.deployment import Deployment


def _write(graph: "Graph", plan: "Plan", folder: Path, deployment: "Deployment") -> Exported:
    from quant.export.tensorrt.write import write

    return write(graph, plan, folder, deployment)


def _check_model(graph: "Graph", deployment: "Deployment") -> list[Finding]:
    from quant.export.tensorrt.check.model import check_model

    return check_model(graph, deployment)


def _check_export(path: Path, deployment: "Deployment") -> list[Finding]:
    from quant.export.tensorrt.check.run_rules import check_export

    return check_export(path, deployment)


TENSORRT = Target(
    name="tensorrt",
    title="TensorRT",
    aliases=("trt",),
    formats={
        Precision.INT8: (INT8, Integer(bits=8, signed=True, symmetric=True, narrow=True)),
        Precision.FP8: (FLOAT8, FLOAT8),
    },
    float_precisions=(Precision.FLOAT32, Precision.FLOAT16),
    search_precisions=(Precision.INT8, Precision.FLOAT16, Precision.FLOAT32),
    float16_in_graph=True,
    bias=None,
    weighted_ops=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
    integer_ops=frozenset({"Add", "Mul", "AveragePool", "GlobalAveragePool"}),
    product_ops=frozenset({"MatMul"}),
    passthrough_ops=frozenset({"MaxPool"}),
    shared_grid_ops=frozenset({"Concat"}),
    integer_output_ops=frozenset(),
    quantize_at="reader",
    fuses_residual_add=True,
    weight_form="float",
    source=(
        "NVIDIA, TensorRT documentation, 'Explicit Quantization', Q/DQ layer-placement "
        "recommendations; onnx-tensorrt 10.1 QuantDequantLinearHelper"
    ),
    write=_write,
    check_model=_check_model,
    check_export=_check_export,
    rules=RULES,
    version=TRT_VERSION,
    devices=DEVICES,
)
TARGETS.add("tensorrt")(TENSORRT)

"""TensorRT: explicit Q/DQ ONNX, int8 and symmetric, placed so that layers fuse."""

__all__ = ["TENSORRT", "write"]

from pathlib import Path

from quant.export.tensorrt.check.rules import RULES
from quant.export.tensorrt.check.run_rules import check_export, check_model
from quant.export.tensorrt.devices import DEVICES
from quant.export.tensorrt.write import write_folder
from quant.formats.number_format import INT8, Integer
from quant.formats.short_floats import FLOAT8
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment
from quant.target.table import TARGETS, Exported, Target

USUAL = Deployment()


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment = USUAL) -> Exported:
    """Write the Q/DQ graph, its implicit twin (8 and 10), build scripts and DEPLOY.md."""
    return write_folder(graph, plan, folder, deployment, TENSORRT)


TENSORRT = Target(
    name="tensorrt",
    title="TensorRT",
    formats={
        "int8": (INT8, Integer(bits=8, signed=True, symmetric=True, narrow=True)),
        "fp8": (FLOAT8, FLOAT8),
    },
    float_precisions=("float32", "float16"),
    search_precisions=("int8", "float16", "float32"),
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
    write=write,
    check_model=check_model,
    check_export=check_export,
    rules=RULES,
    devices=DEVICES,
)
TARGETS.add("tensorrt")(TENSORRT)

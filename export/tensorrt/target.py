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
    floats=("float32", "float16"),
    searched=("int8", "float16", "float32"),
    typed=True,
    bias=None,
    weighted=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
    others=frozenset({"Add", "Mul", "AveragePool", "GlobalAveragePool"}),
    products=frozenset({"MatMul"}),
    views=frozenset({"MaxPool"}),
    joined=frozenset({"Concat"}),
    outputs=frozenset(),
    quantizers="reader",
    residual=True,
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

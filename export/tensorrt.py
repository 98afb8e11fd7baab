"""TensorRT: explicit Q/DQ ONNX, int8 and symmetric, placed so that layers fuse."""

__all__ = ["TENSORRT", "write"]

from pathlib import Path

from quant.deploy import Deployment
from quant.export.tensorrt_check import RULES, check_export, check_model
from quant.export.tensorrt_devices import DEVICES
from quant.export.tensorrt_write import write_folder
from quant.floats import FLOAT8
from quant.formats import INT8, Integer
from quant.graph import Graph
from quant.plan import Plan
from quant.target import TARGETS, Exported, Target

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

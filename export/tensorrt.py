"""TensorRT: explicit Q/DQ ONNX, int8 and symmetric, placed so that layers fuse."""

__all__ = ["TENSORRT", "write"]

from pathlib import Path

from quant.deploy import Deployment
from quant.export.qdq import save_checked
from quant.floats import FLOAT8
from quant.formats import INT8, Integer
from quant.graph import Graph
from quant.plan import Plan
from quant.simulate import quantize_graph
from quant.target import TARGETS, Exported, Target


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment | None = None) -> Exported:
    """Write `model.onnx`: float weights with Q -> DQ, which TensorRT 8, 10 and 11 all read."""
    save_checked(quantize_graph(graph, plan, TENSORRT), folder / "model.onnx")
    return Exported(files=("model.onnx",))


TENSORRT = Target(
    name="tensorrt",
    title="TensorRT",
    formats={
        "int8": (INT8, Integer(bits=8, signed=True, symmetric=True, narrow=True)),
        "fp8": (FLOAT8, FLOAT8),
    },
    floats=("float32", "float16"),
    typed=True,
    bias=None,
    weighted=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
    others=frozenset({"Add", "Mul", "AveragePool", "GlobalAveragePool"}),
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
)
TARGETS.add("tensorrt")(TENSORRT)

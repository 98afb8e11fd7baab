"""ONNX Runtime on the CPU: Q/DQ ONNX that fuses to integer kernels, and the proof that it does."""

__all__ = ["ONNXRUNTIME"]

from quant.export.onnxruntime.write import write
from quant.formats.number_format import INT32, UINT8, Integer
from quant.target.table import TARGETS, Target

ONNXRUNTIME = Target(
    name="onnxruntime",
    title="ONNX Runtime",
    formats={"int8": (UINT8, Integer(bits=8, signed=True, symmetric=True, narrow=True))},
    bias=INT32,
    weighted=frozenset({"Conv", "Gemm", "MatMul"}),
    others=frozenset(
        {"Add", "Mul", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Concat"}
    ),
    products=frozenset({"MatMul"}),
    views=frozenset(
        {"MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split"}
    ),
    joined=frozenset(),
    outputs=frozenset({"Conv"}),
    quantizers="producer",
    residual=False,
    weight_form="integer",
    source=(
        "onnxruntime qdq_selectors.cc and qdq_selector_action_transformer.cc: u8 activations with "
        "zero point 0 behind a Relu, s8 symmetric weights per channel, int32 bias; equal grids in "
        "and out of MaxPool and the shape operators"
    ),
    write=write,
    native=True,
)


TARGETS.add("onnxruntime")(ONNXRUNTIME)

"""A network with every operator of OpenVINO's table, and the kernels that OpenVINO executes."""

__all__ = ["SETTINGS", "every_net", "executed"]

import importlib
from pathlib import Path
from typing import Any

import onnx

from tests.models import model, weights

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def every_net() -> onnx.ModelProto:
    """Return a residual Add, depthwise, Concat, MaxPool, shuffle, ConvTranspose, Gemm and MatMul."""
    held = {
        **weights(0, w1=(16, 3, 3, 3), b1=(16,), w2=(16, 1, 3, 3), b2=(16,), w3=(16, 16, 3, 3)),
        **weights(1, b3=(16,), w4=(16, 16, 1, 1), b4=(16,), w5=(32, 32, 1, 1), b5=(32,)),
        **weights(2, w6=(32, 16, 2, 2), b6=(16,), w7=(32, 16), b7=(32,), w8=(32, 8)),
    }
    return model(
        """g (float[N,3,16,16] input) => (float[N,8] output) {
            [stem] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [stem_relu] b = Relu(a)
            [depthwise] c = Conv<group=16, pads=[1,1,1,1]>(b, w2, b2)
            [depthwise_relu] d = Relu(c)
            [block] e = Conv<pads=[1,1,1,1]>(d, w3, b3)
            [sum] f = Add(e, b)
            [sum_relu] h = Relu(f)
            [pool] i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(h)
            [side] j = Conv(i, w4, b4)
            [side_relu] k = Relu(j)
            [join] l = Concat<axis=1>(i, k)
            [swap] m = Transpose<perm=[0,1,3,2]>(l)
            [mix] n = Conv(m, w5, b5)
            [mix_relu] o = Relu(n)
            [up] p = ConvTranspose<strides=[2,2]>(o, w6, b6)
            [up_relu] q = Relu(p)
            [mean] r = GlobalAveragePool(q)
            [flat] s = Flatten(r)
            [dense] t = Gemm<transB=1>(s, w7, b7)
            [dense_relu] u = Relu(t)
            [last] output = MatMul(u, w8)
        }""",
        held,
    )


def executed(path: Path) -> list[tuple[str, str, str, str]]:
    """Return type, kernel, output type and original names of what OpenVINO's CPU plugin runs."""
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", SETTINGS)
    rows = []
    for op in compiled.get_runtime_model().get_ordered_ops():
        told = op.get_rt_info()
        kind, kernel, made, names = (
            told[key].astype(str)
            for key in ("layerType", "primitiveType", "outputPrecisions", "originalLayersNames")
        )
        if kind not in ("Const", "Input", "Output"):
            rows.append((kind, kernel, made, names))
    return rows

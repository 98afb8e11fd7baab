"""Whole networks, prepared as for a user, compute the same in OpenCV, MNN and ONNX Runtime."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from quant.export.caffe.build import CaffeOptions
from quant.export.caffe.convert import CaffeNet, convert
from tests.chosen import prepared
from tests.export.caffe.programs import Job, mnn_outputs, opencv_outputs
from tests.models import concat_net, depthwise_net, gemm_net, model, residual_net, weights

BOUND = 1e-4
"""Largest error over the largest value of an output: float32 sums in another order."""


def stem_net() -> onnx.ModelProto:
    """Return the beginning of a ResNet: 32 rows pooled to 16, where Caffe by itself makes 17."""
    return model(
        """g (float[N,3,64,64] input) => (float[N,5] output) {
            [conv1] a = Conv<pads=[3,3,3,3], strides=[2,2]>(input, w1)
            [bn1] b = BatchNormalization(a, g1, s1, m1, v1)
            [relu1] c = Relu(b)
            [pool1] d = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(c)
            [conv2] e = Conv<pads=[1,1,1,1], strides=[2,2]>(d, w2, s1)
            [down] f = Conv<strides=[2,2]>(d, w3, s1)
            [add] h = Add(e, f)
            [relu2] i = Relu(h)
            [pool2] j = GlobalAveragePool(i)
            [flat] k = Flatten(j)
            [fc] output = Gemm<transB=1>(k, w4, b4)
        }""",
        {
            **weights(0, w1=(8, 3, 7, 7), w2=(8, 8, 3, 3), w3=(8, 8, 1, 1), w4=(5, 8), b4=(5,)),
            **weights(1, g1=(8,), s1=(8,), m1=(8,)),
            "v1": np.linspace(0.5, 2, 8, dtype=np.float32),
        },
    )


def detector_net() -> onnx.ModelProto:
    """Return dilated branches and two heads, each transposed, flattened, joined and softmaxed."""
    return model(
        """g (float[N,3,24,32] input) => (float[N,P,2] scores, float[N,P,4] boxes) {
            [conv1] a = Conv<pads=[1,1,1,1], strides=[2,2]>(input, w1, b)
            [relu1] c = Relu(a)
            [left] d = Conv<pads=[1,1,1,1]>(c, w2, b)
            [right] e = Conv<pads=[3,3,3,3], dilations=[3,3]>(c, w3, b)
            [join] f = Concat<axis=1>(d, e)
            [mix] h = Conv(f, w4, b)
            [add] i = Add(h, c)
            [relu2] j = Relu(i)
            [conv2] k = Conv<pads=[1,1,1,1], strides=[2,2]>(j, w2, b)
            [relu3] l = Relu(k)
            [s1] s1 = Conv<pads=[1,1,1,1]>(j, ws)
            [p1] p1 = Transpose<perm=[0,2,3,1]>(s1)
            [r1] r1 = Reshape(p1, two)
            [s2] s2 = Conv<pads=[1,1,1,1]>(l, ws)
            [p2] p2 = Transpose<perm=[0,2,3,1]>(s2)
            [r2] r2 = Reshape(p2, two)
            [cat1] t = Concat<axis=1>(r1, r2)
            [soft] scores = Softmax<axis=2>(t)
            [s3] s3 = Conv<pads=[1,1,1,1]>(j, wb)
            [p3] p3 = Transpose<perm=[0,2,3,1]>(s3)
            [r3] r3 = Reshape(p3, four)
            [s4] s4 = Conv<pads=[1,1,1,1]>(l, wb)
            [p4] p4 = Transpose<perm=[0,2,3,1]>(s4)
            [r4] r4 = Reshape(p4, four)
            [cat2] boxes = Concat<axis=1>(r3, r4)
        }""",
        {
            **weights(0, w1=(8, 3, 3, 3), b=(8,), w2=(8, 8, 3, 3), w3=(8, 8, 3, 3)),
            **weights(1, w4=(8, 16, 1, 1), ws=(6, 8, 3, 3), wb=(12, 8, 3, 3)),
            "two": np.array([1, -1, 2]),
            "four": np.array([1, -1, 4]),
        },
    )


def face_net() -> onnx.ModelProto:
    """Return a pyramid that ConvTranspose climbs, with sums and three heads."""
    return model(
        """g (float[N,3,H,W] input) => (float[N,1,H4,W4] heat, float[N,2,H4,W4] size) {
            [c1] a = Conv<pads=[1,1,1,1], strides=[2,2]>(input, w1, b)
            [r1] c = Clip(a, zero, six)
            [c2] d = Conv<pads=[1,1,1,1], strides=[2,2], group=8>(c, wd, b)
            [r2] e = Clip(d, zero, six)
            [c3] f = Conv<pads=[1,1,1,1], strides=[2,2]>(e, w2, b)
            [r3] h = Relu(f)
            [up] i = ConvTranspose<strides=[2,2]>(h, wu, b)
            [side] j = Conv(e, w3, b)
            [sum] k = Add(i, j)
            [r4] l = Relu(k)
            [c5] m = Conv(l, wh)
            [heat] heat = Sigmoid(m)
            [size] size = Conv(l, wz)
        }""",
        {
            **weights(0, w1=(8, 3, 3, 3), b=(8,), wd=(8, 1, 3, 3), w2=(8, 8, 3, 3)),
            **weights(1, wu=(8, 8, 2, 2), w3=(8, 8, 1, 1), wh=(1, 8, 1, 1), wz=(2, 8, 1, 1)),
            "zero": np.float32(0),
            "six": np.float32(6),
        },
    )


def tensorflow_net() -> onnx.ModelProto:
    """Return a network of rows of pixels: `[N, H, W, C]`, padded behind, shapes computed."""
    return model(
        """g (float[N,17,19,3] input) => (float[N,4] output) {
            [in] a = Transpose<perm=[0,3,1,2]>(input)
            [pad] b = Pad(a, behind)
            [conv] c = Conv<strides=[2,2]>(b, w1)
            [relu] d = Relu(c)
            [pool] e = MaxPool<kernel_shape=[2,2], pads=[0,0,1,1]>(d)
            [out] f = Transpose<perm=[0,2,3,1]>(e)
            [mean] h = ReduceMean<axes=[1,2], keepdims=0>(f)
            [shape] i = Shape(h)
            [first] j = Gather<axis=0>(i, zero)
            [axis] k = Unsqueeze(j, zeros)
            [to] l = Concat<axis=0>(k, rest)
            [flat] m = Reshape(h, l)
            [fc] output = MatMul(m, w2)
        }""",
        {
            **weights(0, w1=(8, 3, 3, 3), w2=(8, 4)),
            "behind": np.array([0, 0, 0, 0, 0, 0, 1, 1]),
            "zero": np.array(0),
            "zeros": np.array([0]),
            "rest": np.array([8]),
        },
    )


NETS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "concat": concat_net,
    "depthwise": depthwise_net,
    "detector": detector_net,
    "face": face_net,
    "gemm": gemm_net,
    "residual": residual_net,
    "stem": stem_net,
    "tensorflow": tensorflow_net,
}
SIZES: Mapping[str, dict[str, tuple[int, ...]]] = {"face": {"input": (3, 48, 40)}}
EVERY_NET = pytest.mark.parametrize("name", NETS)


@cache
def converted(name: str) -> CaffeNet:
    return convert(prepared(NETS[name]()), CaffeOptions(sizes=SIZES.get(name, {})))


def fed(net: CaffeNet) -> NDArray[np.float32]:
    shape = net.shapes[net.inputs["input"]]
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def wanted(name: str) -> dict[str, NDArray[np.float32]]:
    """Return what ONNX Runtime computes of the graph as it came, not as it was prepared."""
    session = onnxruntime.InferenceSession(NETS[name]().SerializeToString())
    names = [v.name for v in session.get_outputs()]
    image = fed(converted(name))
    if "input" in converted(name).planar:
        image = image.transpose(0, 2, 3, 1)
    outputs = session.run(None, {"input": image})
    return {n: a.reshape(-1) for n, a in zip(names, outputs, strict=True)}


def job(net: CaffeNet, image: NDArray[Any] | None = None) -> Job:
    fed_with = fed(net) if image is None else image
    return Job(
        prototxt=net.prototxt,
        caffemodel=net.caffemodel,
        feeds={net.inputs["input"]: fed_with},
        blobs=net.outputs,
    )


@cache
def from_mnn() -> dict[str, Any]:
    return dict(zip(NETS, mnn_outputs([job(converted(n)) for n in NETS]), strict=True))


def check(name: str, seen: Any) -> None:
    assert not isinstance(seen, str), seen
    for tensor, want in wanted(name).items():
        got = seen[converted(name).tops[tensor]].reshape(-1)
        assert np.abs(got - want).max() < BOUND * np.abs(want).max()


@EVERY_NET
def test_opencv_computes_the_network(name: str) -> None:
    check(name, opencv_outputs(job(converted(name))))


@EVERY_NET
def test_mnn_computes_the_network(name: str) -> None:
    check(name, from_mnn()[name])


@EVERY_NET
def test_the_same_graph_gives_the_same_bytes(name: str) -> None:
    net = convert(prepared(NETS[name]()), CaffeOptions(sizes=SIZES.get(name, {})))

    assert net.prototxt == converted(name).prototxt
    assert net.caffemodel == converted(name).caffemodel


@EVERY_NET
def test_nothing_is_reported_but_the_outputs(name: str) -> None:
    """What no layer reads becomes an output of the board, which its program would have to skip."""
    assert converted(name).unread == ()

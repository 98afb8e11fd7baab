"""Builders of tiny graphs: seeded weights, dynamic batch, image input `[N, 3, 16, 16]`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

IMAGE = (3, 16, 16)


def model(
    text: str, weights: Mapping[str, NDArray[Any]] | None = None, *, ir_version: int = 8
) -> onnx.ModelProto:
    """Return the graph of onnx's text format with these initializers; `text` begins at `g (...)`.

    An opset other than 17 is written before it: `<opset_import: ["" : 9]> g (...) => (...) {...}`.
    """
    body = text if text.lstrip().startswith("<") else f'<opset_import: ["" : 17]> {text}'
    proto: onnx.ModelProto = onnx.parser.parse_model(
        body.replace("<", f"<ir_version: {ir_version}, ", 1)
    )
    for name, array in (weights or {}).items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Return weights that keep the variance of activations: He et al. 2015."""
    fan_in = int(np.prod(shape[1:])) or 1
    return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)


def weights(seed: int, **shapes: Sequence[int]) -> dict[str, NDArray[np.float32]]:
    """Return seeded weights by name; one of rank 1 is a bias, small."""
    rng = np.random.default_rng(seed)
    return {
        name: (0.1 * rng.normal(size=shape)).astype(np.float32)
        if len(shape) == 1
        else normal(rng, *shape)
        for name, shape in shapes.items()
    }


def batchnorm(seed: int, name: str, channels: int) -> dict[str, NDArray[np.float32]]:
    """Return `<name>_gain`, `_beta`, `_mean` and `_var`, the variance in [0.5, 1.5)."""
    rng = np.random.default_rng(seed)
    make = {
        "gain": rng.uniform(0.5, 1.5, channels),
        "beta": rng.normal(0, 0.3, channels),
        "mean": rng.normal(0, 0.3, channels),
        "var": rng.uniform(0.5, 1.5, channels),
    }
    return {f"{name}_{part}": array.astype(np.float32) for part, array in make.items()}


def image(seed: int = 0, batch: int = 2) -> NDArray[np.float32]:
    """Return a batch for the input of these networks."""
    return np.random.default_rng(seed).normal(size=(batch, *IMAGE)).astype(np.float32)


def conv_relu_net(seed: int = 0) -> onnx.ModelProto:
    """Return Conv, Relu, Conv with stride 2, Relu, GlobalAveragePool, Flatten, Gemm to 10 classes."""
    return model(
        """g (float[N,3,16,16] input) => (float[N,10] output) {
            [conv1] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [relu1] b = Relu(a)
            [conv2] c = Conv<pads=[1,1,1,1], strides=[2,2]>(b, w2, b2)
            [relu2] d = Relu(c)
            [pool] e = GlobalAveragePool(d)
            [flat] f = Flatten(e)
            [fc] output = Gemm<transB=1>(f, w3, b3)
        }""",
        weights(seed, w1=(8, 3, 3, 3), b1=(8,), w2=(16, 8, 3, 3), b2=(16,), w3=(10, 16), b3=(10,)),
    )


def residual_net(seed: int = 0) -> onnx.ModelProto:
    """Return a Conv stem and a residual block whose Add meets a Relu, then 10 classes."""
    return model(
        """g (float[N,3,16,16] input) => (float[N,10] output) {
            [stem] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [relu1] b = Relu(a)
            [conv1] c = Conv<pads=[1,1,1,1]>(b, w2, b2)
            [relu2] d = Relu(c)
            [conv2] e = Conv<pads=[1,1,1,1]>(d, w3, b3)
            [add] f = Add(e, b)
            [relu3] h = Relu(f)
            [pool] i = GlobalAveragePool(h)
            [flat] j = Flatten(i)
            [fc] output = Gemm<transB=1>(j, w4, b4)
        }""",
        weights(
            seed,
            w1=(8, 3, 3, 3),
            b1=(8,),
            w2=(8, 8, 3, 3),
            b2=(8,),
            w3=(8, 8, 3, 3),
            b3=(8,),
            w4=(10, 8),
            b4=(10,),
        ),
    )


def concat_net(seed: int = 0) -> onnx.ModelProto:
    """Return two branches of unlike ranges that Concat joins and a 1x1 Conv mixes."""
    held = weights(
        seed, w1=(4, 3, 3, 3), b1=(4,), w2=(4, 3, 1, 1), b2=(4,), w3=(10, 8, 1, 1), b3=(10,)
    )
    held["w2"] = held["w2"] * np.float32(4)
    return model(
        """g (float[N,3,16,16] input) => (float[N,10] output) {
            [left] a = Conv<pads=[1,1,1,1]>(input, w1, b1)
            [relu1] b = Relu(a)
            [right] c = Conv(input, w2, b2)
            [relu2] d = Relu(c)
            [concat] e = Concat<axis=1>(b, d)
            [mix] f = Conv(e, w3, b3)
            [pool] h = GlobalAveragePool(f)
            [flat] output = Flatten(h)
        }""",
        held,
    )


def depthwise_net(seed: int = 0) -> onnx.ModelProto:
    """Return expand, depthwise and project convolutions with ReLU6, as in MobileNetV2."""
    held = weights(
        seed,
        w1=(12, 3, 1, 1),
        b1=(12,),
        w2=(12, 1, 3, 3),
        b2=(12,),
        w3=(8, 12, 1, 1),
        b3=(8,),
        w4=(10, 8),
        b4=(10,),
    )
    return model(
        """g (float[N,3,16,16] input) => (float[N,10] output) {
            [expand] a = Conv(input, w1, b1)
            [clip1] b = Clip(a, zero, six)
            [depthwise] c = Conv<group=12, pads=[1,1,1,1]>(b, w2, b2)
            [clip2] d = Clip(c, zero, six)
            [project] e = Conv(d, w3, b3)
            [pool] f = GlobalAveragePool(e)
            [flat] h = Flatten(f)
            [fc] output = Gemm<transB=1>(h, w4, b4)
        }""",
        {**held, "zero": np.array(0, np.float32), "six": np.array(6, np.float32)},
    )


def gemm_net(seed: int = 0) -> onnx.ModelProto:
    """Return Flatten, two Gemm (one with transB, one without) and a MatMul."""
    return model(
        """g (float[N,3,16,16] input) => (float[N,10] output) {
            [flat] a = Flatten(input)
            [fc1] b = Gemm<transB=1>(a, w1, b1)
            [relu1] c = Relu(b)
            [fc2] d = Gemm(c, w2, b2)
            [relu2] e = Relu(d)
            [fc3] output = MatMul(e, w3)
        }""",
        weights(seed, w1=(32, 768), b1=(32,), w2=(32, 16), b2=(16,), w3=(16, 10)),
    )

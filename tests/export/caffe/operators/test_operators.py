"""Every converted operator computes, in OpenCV and in MNN, the numbers of ONNX Runtime.

OpenCV runs them all. `mnn=` says why MNN cannot judge a case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from quant.export.caffe.convert import CaffeNet, convert
from quant.export.caffe.network.files import parse_prototxt
from quant.graph.prepared_graph import Graph
from tests.export.caffe.programs import Job, mnn_outputs, opencv_outputs
from tests.models import model

BOUND = 1e-4
"""Largest error over the largest value of an output: float32 sums in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A graph of one operator or a few; `mnn` says why MNN cannot run it, if it cannot."""

    body: str
    shape: tuple[int, ...]
    weights: Mapping[str, NDArray[Any]]
    mnn: str


def case(
    body: str,
    shape: tuple[int, ...] = (1, 4, 13, 14),
    *,
    mnn: str = "",
    **held: Any,
) -> Case:
    """Return a case; a tuple among `held` is the shape of seeded weights."""
    rng = np.random.default_rng(len(body))
    weights = {
        name: rng.normal(size=value).astype(np.float32) if isinstance(value, tuple) else value
        for name, value in held.items()
    }
    return Case(body=body, shape=shape, weights=weights, mnn=mnn)


def f32(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers if len(numbers) != 1 else numbers[0], np.float32)


def i64(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


W, B = (6, 4, 3, 3), (6,)
CONV = {
    "plain": case("y = Conv(x, w, b)", w=W, b=B),
    "no bias": case("y = Conv(x, w)", w=W),
    "1x1": case("y = Conv(x, w, b)", w=(6, 4, 1, 1), b=B),
    "5x1": case("y = Conv<pads=[2,0,2,0]>(x, w, b)", w=(6, 4, 5, 1), b=B),
    "stride": case("y = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w, b)", w=W, b=B),
    "unlike strides": case("y = Conv<pads=[1,0,1,0], strides=[2,1]>(x, w, b)", w=W, b=B),
    "dilation": case("y = Conv<pads=[2,2,2,2], dilations=[2,2]>(x, w, b)", w=W, b=B),
    "group": case("y = Conv<group=2>(x, w, b)", w=(6, 2, 3, 3), b=B),
    "depthwise": case("y = Conv<group=4, pads=[1,1,1,1]>(x, w, b)", w=(4, 1, 3, 3), b=(4,)),
    "multiplier": case("y = Conv<group=4>(x, w)", w=(8, 1, 3, 3)),
    "pads behind": case("y = Conv<pads=[0,0,1,1], strides=[2,2]>(x, w, b)", w=W, b=B),
    "pads in front": case("y = Conv<pads=[2,1,0,0], strides=[2,2]>(x, w, b)", w=W, b=B),
    "unlike pads": case("y = Conv<pads=[0,3,2,1]>(x, w, b)", w=W, b=B),
    "dilated pads behind": case("y = Conv<pads=[0,0,4,4], dilations=[2,2]>(x, w)", w=W),
    "dilated odd pads": case("y = Conv<pads=[0,1,3,2], dilations=[2,2]>(x, w)", w=W),
    "same upper": case('y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w, b)', w=W, b=B),
    "same lower": case('y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(x, w, b)', w=W, b=B),
    "valid": case('y = Conv<auto_pad="VALID">(x, w, b)', w=W, b=B),
    "one axis": case("y = Conv<pads=[1,1]>(x, w, b)", (1, 4, 15), w=(6, 4, 3), b=B),
    "transposed": case("y = ConvTranspose<strides=[2,2]>(x, w, b)", w=(4, 6, 2, 2), b=B),
    "transposed pads": case(
        "y = ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(x, w, b)",
        w=(4, 6, 3, 3),
        b=B,
    ),
    "transposed odd pads": case(
        "y = ConvTranspose<strides=[2,2], pads=[0,1,2,0]>(x, w)", w=(4, 6, 4, 4)
    ),
    "transposed output padding": case(
        "y = ConvTranspose<strides=[3,3], output_padding=[2,1]>(x, w)", w=(4, 6, 2, 2)
    ),
    "transposed groups": case("y = ConvTranspose<group=2, strides=[2,2]>(x, w)", w=(4, 3, 2, 2)),
    "transposed depthwise": case(
        "y = ConvTranspose<group=4, strides=[2,2], pads=[1,1,1,1]>(x, w)", w=(4, 1, 4, 4)
    ),
    "transposed dilation": case(
        "y = ConvTranspose<dilations=[2,2], strides=[2,2]>(x, w)", w=(4, 6, 3, 3)
    ),
    "transposed shape": case(
        "y = ConvTranspose<output_shape=[27,29], strides=[2,2]>(x, w)", w=(4, 6, 4, 4)
    ),
    "transposed same upper": case(
        'y = ConvTranspose<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)', w=(4, 6, 3, 3)
    ),
    "transposed same lower": case(
        'y = ConvTranspose<auto_pad="SAME_LOWER", strides=[2,2]>(x, w)', w=(4, 6, 3, 3)
    ),
}
DENSE = {
    "gemm": case("y = Gemm<transB=1>(x, w, b)", (1, 40), w=(6, 40), b=(6,)),
    "gemm untransposed": case("y = Gemm(x, w, b)", (1, 40), w=(40, 6), b=(1, 6)),
    "gemm factors": case("y = Gemm<alpha=0.5, beta=2.0>(x, w, b)", (1, 40), w=(40, 6), b=(6,)),
    "gemm one bias": case("y = Gemm(x, w, b)", (1, 40), w=(40, 6), b=(1,)),
    "flatten gemm": case("f = Flatten(x) y = Gemm(f, w)", w=(4 * 13 * 14, 6)),
    "matmul": case("y = MatMul(x, w)", (1, 40), w=(40, 6)),
    "matmul of rank 3": case("y = MatMul(x, w)", (1, 1, 40), w=(40, 6)),
    "two gemms": case(
        "f = Flatten(x) a = Gemm(f, w, b) r = Relu(a) y = Gemm(r, v)",
        w=(4 * 13 * 14, 6),
        b=(6,),
        v=(6, 3),
    ),
    "gemm inside, of a row": case(
        "a = Gemm(x, w) r = Relu(a) m = Mul(r, two) y = Gemm(m, v)",
        (1, 40),
        w=(40, 6),
        v=(6, 3),
        two=f32(2),
    ),
    "gemm then softmax": case("a = Gemm(x, w) y = Softmax(a)", (1, 40), w=(40, 6)),
    "batch norm": case(
        "y = BatchNormalization(x, g, b, m, v)",
        g=(4,),
        b=(4,),
        m=(4,),
        v=f32(0.5, 1, 2, 0.1),
    ),
}
X6 = "y = {}(x)"
ACTIVATION = {
    "relu": case("y = Relu(x)"),
    "leaky": case("y = LeakyRelu<alpha=0.1>(x)"),
    "prelu": case("y = PRelu(x, s)", s=(4, 1, 1)),
    "prelu of one": case("y = PRelu(x, s)", s=f32(0.2).reshape(1)),
    "prelu of rank 4": case("y = PRelu(x, s)", s=(1, 4, 1, 1)),
    "prelu of a row": case("y = PRelu(x, s)", (1, 5), s=(5,)),
    "sigmoid": case("y = Sigmoid(x)"),
    "tanh": case("y = Tanh(x)"),
    "elu": case("y = Elu<alpha=0.7>(x)"),
    "selu": case("y = Selu(x)"),
    "abs": case("y = Abs(x)"),
    "exp": case("y = Exp(x)"),
    "log": case("a = Exp(x) y = Log(a)", mnn="it has no Log"),
    "relu6": case("y = Clip(x, l, h)", l=f32(0), h=f32(6)),
    "clip": case("y = Clip(x, l, h)", l=f32(-0.5), h=f32(0.75)),
    "clip below": case("y = Clip(x, l)", l=f32(0.25)),
    "clip above": case("y = Clip(x, , h)", h=f32(0.25)),
    "clip nowhere": case("y = Clip(x, l, h)", l=f32(-3.4e38), h=f32(3.4e38)),
    "hard sigmoid": case("y = HardSigmoid<alpha=0.3, beta=0.4>(x)"),
    "hard swish": case("y = HardSwish(x)"),
    "silu": case("a = Sigmoid(x) y = Mul(x, a)"),
    "in place": case("a = Conv(x, w) r = Relu(a) y = Conv(r, v)", w=W, v=(2, 6, 1, 1)),
    "not in place": case("a = Conv(x, w) r = Relu(a) y = Add(r, a)", w=W),
    "not in place of a view's source": case(
        "a = Conv(x, w) f = Flatten(a) r = Relu(f) s = Sigmoid(a) t = Flatten(s) "
        "y = Concat<axis=1>(r, t)",
        w=W,
    ),
    "not in place of a view": case(
        "a = Conv(x, w) f = Flatten(a) r = Relu(a) g = Flatten(r) y = Concat<axis=1>(f, g)", w=W
    ),
}
ARITHMETIC = {
    "add": case("a = Relu(x) y = Add(x, a)"),
    "sum": case("a = Relu(x) b = Sigmoid(x) y = Sum(x, a, b)"),
    "mean": case("a = Relu(x) b = Sigmoid(x) y = Mean(x, a, b)"),
    "sub": case("a = Sigmoid(x) y = Sub(x, a)"),
    "mul": case("a = Sigmoid(x) y = Mul(x, a)"),
    "square": case("y = Mul(x, x)"),
    "div": case("a = Sigmoid(x) y = Div(x, a)"),
    "max": case("a = Sigmoid(x) y = Max(x, a)"),
    "min": case("a = Sigmoid(x) y = Min(x, a)"),
    "add a number": case("y = Add(x, c)", c=f32(0.5)),
    "a number minus": case("y = Sub(c, x)", c=f32(0.5)),
    "minus a number": case("y = Sub(x, c)", c=f32(0.5)),
    "times a number": case("y = Mul(c, x)", c=f32(0.5)),
    "over a number": case("y = Div(x, c)", c=f32(0.3)),
    "a number over": case("s = Sigmoid(x) y = Div(c, s)", c=f32(0.3)),
    "max with a number": case("y = Max(x, c)", c=f32(0.3)),
    "min with a number": case("y = Min(c, x)", c=f32(0.3)),
    "a line that two read": case("a = Add(x, c) b = Mul(a, c) y = Mul(a, b)", c=f32(0.5)),
    "lines in a row": case(
        "a = Add(x, c) b = Mul(a, d) y = Sub(e, b)", c=f32(1), d=f32(3), e=f32(2)
    ),
    "add channels": case("y = Add(x, c)", c=(1, 4, 1, 1)),
    "channels minus": case("y = Sub(c, x)", c=(4, 1, 1)),
    "minus channels": case("y = Sub(x, c)", c=(4, 1, 1)),
    "times channels": case("y = Mul(x, c)", c=(4, 1, 1)),
    "over channels": case("y = Div(x, c)", c=f32(1, 2, 3, 4).reshape(4, 1, 1)),
    "channels over": case("s = Sigmoid(x) y = Div(c, s)", c=(4, 1, 1)),
    "add to a row": case("y = Add(x, c)", (1, 6), c=(6,)),
    "squeeze and excite": case(
        "p = GlobalAveragePool(x) c = Conv(p, w) s = Sigmoid(c) y = Mul(x, s)", w=(4, 4, 1, 1)
    ),
    "broadcast over 32": case("p = ReduceMean<axes=[2]>(x) y = Sub(x, p)", (1, 2, 71, 3)),
    "broadcast of channels": case("p = ReduceMean<axes=[1]>(x) y = Mul(p, x)"),
    "negative": case("y = Neg(x)"),
    "reciprocal": case("s = Sigmoid(x) y = Reciprocal(s)"),
    "root": case("s = Sigmoid(x) y = Sqrt(s)"),
    "cube": case("y = Pow(x, c)", c=f32(3)),
    "inverse root": case("s = Sigmoid(x) y = Pow(s, c)", c=f32(-0.5)),
}
POOL = {
    "max": case("y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)", (1, 4, 12, 12)),
    "max rounded down": case("y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)"),
    "resnet": case(
        "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", (1, 4, 16, 16)
    ),
    "ceil": case("y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)"),
    "padded ceil": case(
        "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1>(x)"
    ),
    "tensorflow": case("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]>(x)"),
    "stride 1 behind": case("y = MaxPool<kernel_shape=[2,2], pads=[0,0,1,1]>(x)"),
    "in front": case("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,0,0]>(x)"),
    "unlike": case("y = MaxPool<kernel_shape=[3,2], strides=[1,2], pads=[1,0,1,1]>(x)"),
    "same upper": case('y = MaxPool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(x)'),
    "spp": case("y = MaxPool<kernel_shape=[5,5], pads=[2,2,2,2]>(x)"),
    "average": case("y = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x)", (1, 4, 12, 12)),
    "average rounded down": case("y = AveragePool<kernel_shape=[3,3], strides=[2,2]>(x)"),
    "average with pads": case(
        "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)"
    ),
    "average with pads rounded down": case(
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], count_include_pad=1>(x)"
    ),
    "average behind": case(
        "y = AveragePool<kernel_shape=[2,2], pads=[0,0,1,1], count_include_pad=1>(x)"
    ),
    "average ceil": case(
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)", (1, 4, 12, 14)
    ),
    "global": case("y = GlobalAveragePool(x)"),
    "global max": case("y = GlobalMaxPool(x)"),
    "whole": case("y = AveragePool<kernel_shape=[13,14]>(x)"),
    "mean": case("y = ReduceMean<axes=[2,3]>(x)"),
    "mean without axes": case("y = ReduceMean<axes=[-1,-2], keepdims=0>(x)"),
    "mean over height": case("y = ReduceMean<axes=[2]>(x)"),
    "mean over channels": case("y = ReduceMean<axes=[1]>(x)"),
    "mean over all": case("y = ReduceMean<axes=[1,2,3], keepdims=0>(x)"),
    "sum": case("y = ReduceSum(x, a)", a=i64(2, 3)),
    "greatest": case("y = ReduceMax<axes=[2,3]>(x)"),
    "greatest channel": case("y = ReduceMax<axes=[1]>(x)"),
    "length": case("y = ReduceL2<axes=[1]>(x)"),
    "unit length": case("l = ReduceL2<axes=[1]>(x) y = Div(x, l)", (1, 6)),
    "padded max": case(
        "r = Relu(x) p = Pad(r, a) y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p)",
        a=i64(0, 0, 1, 1, 0, 0, 1, 1),
    ),
    "padded max of a clip": case(
        "r = Clip(x, l) p = Pad(r, a) y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p)",
        l=f32(0),
        a=i64(0, 0, 1, 1, 0, 0, 1, 1),
    ),
    "padded max of negatives": case(
        "e = Exp(x) n = Neg(e) p = Pad(n, a) y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p)",
        a=i64(0, 0, 1, 1, 0, 0, 1, 1),
    ),
    "padded with minus infinity": case(
        "p = Pad(x, a, c) y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p)",
        a=i64(0, 0, 0, 0, 0, 0, 1, 1),
        c=f32(-np.inf),
    ),
    "padded average": case(
        "p = Pad(x, a) y = AveragePool<kernel_shape=[3,3], strides=[2,2]>(p)",
        a=i64(0, 0, 1, 1, 0, 0, 1, 1),
    ),
}
LAYOUT = {
    "flatten": case("r = Relu(x) y = Flatten(r)"),
    "reshape": case("r = Relu(x) y = Reshape(r, s)", s=i64(1, 14, 4, 13)),
    "reshape read on": case(
        "r = Relu(x) s = Reshape(r, t) y = Conv(s, w)", t=i64(1, 2, 26, 14), w=(3, 2, 3, 3)
    ),
    "squeeze": case(
        "p = GlobalAveragePool(x) s = Squeeze(p, a) y = Gemm(s, w)", a=i64(2, 3), w=(4, 3)
    ),
    "to rows": case("y = Transpose<perm=[0,2,3,1]>(x)"),
    "to planes": case("r = Relu(x) y = Transpose<perm=[0,3,1,2]>(r)", (1, 13, 14, 4)),
    "of rank 3": case("r = Relu(x) y = Transpose<perm=[0,2,1]>(r)", (1, 13, 14)),
    "of ones": case("p = GlobalAveragePool(x) y = Transpose<perm=[0,2,3,1]>(p)"),
    "shuffle": case(
        "a = Reshape(x, s) b = Transpose<perm=[0,2,1,3,4]>(a) y = Reshape(b, t)",
        (1, 6, 5, 4),
        s=i64(1, 2, 3, 5, 4),
        t=i64(1, 6, 5, 4),
    ),
    "anchors": case(
        "a = Reshape(x, s) y = Transpose<perm=[0,1,3,4,2]>(a)",
        (1, 6, 5, 4),
        s=i64(1, 3, 2, 5, 4),
    ),
    "three blocks": case(
        "a = Reshape(x, s) b = Transpose<perm=[0,3,2,1,4]>(a) y = Relu(b)",
        (1, 12, 2, 5),
        s=i64(1, 2, 3, 2, 10),
    ),
    "there and back": case(
        "r = Relu(x) a = Transpose<perm=[0,2,3,1]>(r) b = Sigmoid(a) y = Transpose<perm=[0,3,1,2]>(b)"
    ),
    "concat": case("a = Relu(x) b = Conv(x, w) y = Concat<axis=1>(a, b)", w=(6, 4, 1, 1)),
    "concat of rows": case("a = Relu(x) y = Concat<axis=2>(x, a)"),
    "concat of columns": case("a = Relu(x) y = Concat<axis=-1>(x, a)"),
    "concat of rank 3": case("a = Relu(x) y = Concat<axis=2>(x, a)", (1, 5, 6)),
    "concat of 40": case(
        f"a = Relu(x) y = Concat<axis=1>({', '.join(['x', 'a'] * 20)})", (1, 2, 3, 4)
    ),
    "long concat": case("a = Relu(x) y = Concat<axis=1>(x, a)", (1, 4000, 2)),
    "split": case("a, b = Split<axis=1>(x, s) y = Concat<axis=1>(b, a)", s=i64(1, 3)),
    "split rows": case("a, b = Split<axis=2>(x, s) y = Concat<axis=2>(b, a)", s=i64(6, 7)),
    "slices": case(
        "a = Slice(x, o, t, c) b = Slice(x, t, f, c) y = Sub(a, b)",
        o=i64(0),
        t=i64(2),
        f=i64(4),
        c=i64(1),
    ),
    "crop": case("y = Slice(x, b, e, a)", b=i64(1, 2), e=i64(12, -1), a=i64(2, 3)),
    "wide crop": case(
        "y = Slice(x, b, e, a)", (1, 4, 30, 40), b=i64(0, 12), e=i64(20, 38), a=i64(2, 3)
    ),
    "some channels": case("y = Slice(x, b, e, a)", b=i64(1), e=i64(3), a=i64(1)),
    "every second": case(
        "y = Slice(x, b, e, a, s)", b=i64(1, 0), e=i64(99, 99), a=i64(2, 3), s=i64(2, 2)
    ),
    "steps without axes": case(
        "y = Slice(x, b, e, , s)", b=i64(0, 0, 1, 0), e=i64(9, 9, 99, 99), s=i64(1, 1, 3, 1)
    ),
    "reversed channels": case(
        "y = Slice(x, b, e, a, s)", b=i64(-1), e=i64(-99), a=i64(1), s=i64(-1)
    ),
    "focus": case(
        "a = Slice(x, zz, ee, ax, st) b = Slice(x, oz, ee, ax, st) y = Concat<axis=1>(a, b)",
        (1, 3, 12, 12),
        zz=i64(0, 0),
        oz=i64(1, 0),
        ee=i64(99, 99),
        ax=i64(2, 3),
        st=i64(2, 2),
    ),
    "gather": case("y = Gather<axis=1>(x, i)", i=i64(3, 0)),
    "gather one": case("y = Gather<axis=1>(x, i)", i=np.array(2)),
    "softmax": case("y = Softmax<axis=1>(x)"),
    "softmax of columns": case("y = Softmax<axis=-1>(x)"),
    "softmax of rank 3": case("y = Softmax<axis=2>(x)", (1, 20, 3)),
    "softmax of rows": case("y = Softmax<axis=1>(x)", (1, 20)),
    "log softmax": case("y = LogSoftmax<axis=1>(x)", mnn="it has no Log"),
    "pad": case("r = Relu(x) y = Pad(r, a)", a=i64(0, 0, 1, 2, 0, 0, 3, 0)),
    "pad channels": case("r = Relu(x) y = Pad(r, a)", a=i64(0, 2, 0, 0, 0, 1, 0, 0)),
    "pad all": case("r = Relu(x) y = Pad(r, a)", a=i64(0, 2, 1, 0, 0, 1, 0, 1)),
    "pad then conv": case("p = Pad(x, a) y = Conv(p, w)", a=i64(0, 0, 0, 0, 0, 0, 1, 1), w=W),
    "expand": case("p = GlobalAveragePool(x) y = Expand(p, s)", s=i64(1, 4, 3, 5)),
    "tile": case("p = GlobalAveragePool(x) y = Tile(p, s)", s=i64(1, 1, 3, 5)),
    "dropout": case("d = Dropout(x) i = Identity(d) y = Relu(i)"),
}
NEAREST = 'coordinate_transformation_mode="asymmetric", mode="nearest", nearest_mode="floor"'
RESIZE = {
    "twice": case(f"y = Resize<{NEAREST}>(x, , s)", s=f32(1, 1, 2, 2)),
    "four times": case(f"y = Resize<{NEAREST}>(x, , s)", s=f32(1, 1, 4, 4)),
    "twice wide": case(f"y = Resize<{NEAREST}>(x, , s)", s=f32(1, 1, 1, 2)),
    "to a size": case('y = Resize<mode="nearest">(x, , , s)', s=i64(1, 4, 26, 28)),
    "half": case(f"y = Resize<{NEAREST}>(x, , s)", (1, 4, 12, 14), s=f32(1, 1, 0.5, 0.5)),
    "one pixel": case(
        'p = GlobalAveragePool(x) y = Resize<mode="linear">(p, , , s)', s=i64(1, 4, 6, 5)
    ),
    "space to depth": case("y = SpaceToDepth<blocksize=2>(x)", (1, 3, 4, 6)),
    "depth to space": case("y = DepthToSpace<blocksize=2>(x)", (1, 12, 4, 6)),
    "depth to space by rows": case('y = DepthToSpace<blocksize=2, mode="CRD">(x)', (1, 12, 4, 6)),
}
CASES = {
    f"{part}: {name}": one
    for part, table in {
        "conv": CONV,
        "dense": DENSE,
        "activation": ACTIVATION,
        "arithmetic": ARITHMETIC,
        "pool": POOL,
        "layout": LAYOUT,
        "resize": RESIZE,
    }.items()
    for name, one in table.items()
}


@cache
def proto_of(name: str) -> onnx.ModelProto:
    one = CASES[name]
    sizes = ",".join(map(str, one.shape))
    return model(f"g (float[{sizes}] x) => (float y) {{ {one.body} }}", one.weights)


@cache
def converted(name: str) -> CaffeNet:
    return convert(Graph(ir.from_proto(proto_of(name)), "net", "net.onnx"))


@cache
def fed(name: str) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=CASES[name].shape).astype(np.float32)


@cache
def wanted(name: str) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(proto_of(name).SerializeToString())
    outputs: NDArray[np.float32] = session.run(None, {"x": fed(name)})[0]
    return outputs.reshape(-1)


@cache
def job(name: str) -> Job:
    net = converted(name)
    feeds = {net.inputs["x"]: fed(name).reshape(net.shapes[net.inputs["x"]])}
    return Job(
        prototxt=net.prototxt, caffemodel=net.caffemodel, feeds=feeds, blobs=(net.tops["y"],)
    )


@cache
def from_mnn() -> dict[str, Any]:
    """Return what MNN made of every case: one process for all."""
    return dict(zip(CASES, mnn_outputs([job(name) for name in CASES]), strict=True))


def error(seen: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    assert seen.shape == want.shape
    return float(np.abs(seen - want).max() / np.abs(want).max())


@pytest.mark.parametrize("name", CASES)
def test_opencv_computes_what_onnx_runtime_does(name: str) -> None:
    net = converted(name)
    seen = opencv_outputs(job(name))[net.tops["y"]]

    assert seen.shape == net.shapes[net.tops["y"]]
    assert error(seen.reshape(-1), wanted(name)) < BOUND


@pytest.mark.parametrize("name", CASES)
def test_every_layer_is_in_the_dialect(name: str) -> None:
    """What the mapper refuses whatever the numbers: rules 4, 6, 9 to 14 and 17 of its limits."""
    known: set[str] = set()
    layers = parse_prototxt(converted(name).prototxt, name).layer
    assert len({layer.name for layer in layers}) == len(layers)
    for layer in layers:
        assert set(layer.bottom) <= known
        known |= set(layer.top)
        if layer.type == "Permute":
            assert list(layer.permute_param.order) == [0, 2, 3, 1]
        if layer.type == "Reshape":
            dims = list(layer.reshape_param.shape.dim)
            assert len(dims) == 4
            assert dims[0] == 0
            assert min(dims[1:]) > 0
        axes = (layer.concat_param, layer.slice_param, layer.softmax_param, layer.scale_param)
        assert all(param.axis in (1, 2, 3) for param in axes)
        assert len(layer.bottom) <= 32
        assert layer.power_param.power in (-3, -2, -1, -0.5, 0.5, 1, 2, 3)
        assert all(max(converted(name).shapes[top]) <= 4096 for top in layer.top)


@pytest.mark.parametrize("name", [n for n in CASES if not CASES[n].mnn])
def test_mnn_computes_what_onnx_runtime_does(name: str) -> None:
    made = from_mnn()[name]

    assert not isinstance(made, str), made
    assert error(made[converted(name).tops["y"]], wanted(name)) < BOUND

"""A node without a form in NNIE's Caffe is refused, with rule, place and the nearest fix."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.export.caffe.convert import convert, refusals
from quant.graph.prepared_graph import Graph
from tests.chosen import prepared
from tests.export.caffe.operators.test_operators import f32, i64
from tests.models import conv_relu_net, model

CUT = "Cut the network before this node and compute the rest on the CPU."
BEFORE = "Cut the network before this node."
IMAGE = (1, 4, 6, 6)


def graph(body: str, shape: tuple[int, ...], held: Mapping[str, Any]) -> Graph:
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {
        n: rng.normal(size=v).astype(np.float32) if isinstance(v, tuple) else v
        for n, v in held.items()
    }
    sizes = ",".join(map(str, shape))
    text = f"g (float[{sizes}] x) => (float y) {{ {body} }}"
    return Graph(ir.from_proto(model(text, weights)), "net", "net.onnx")


REFUSED: dict[str, tuple[str, tuple[int, ...], dict[str, Any], str]] = {
    "unknown": (
        "[n] y = Erf(x)",
        IMAGE,
        {},
        (
            "nnie-1 error, node 'n': saw operator Erf, wanted an operator that Caffe has. "
            "Use Relu instead and train again."
        ),
    ),
    "no mend but to cut": (
        "[n] y = Cos(x)",
        IMAGE,
        {},
        f"nnie-1 error, node 'n': saw operator Cos, wanted an operator that Caffe has. {CUT}",
    ),
    "batch": (
        "[n] y = Relu(x)",
        (2, 4, 6, 6),
        {},
        (
            "nnie-2 error, input 'x': saw shape [2, 4, 6, 6], wanted batch 1. "
            "Export the model with batch 1."
        ),
    ),
    "computed weight": (
        "[n] y = Conv(x, x)",
        IMAGE,
        {},
        (
            "nnie-1 error, node 'n': saw a weight or bias that the network computes, wanted a "
            "constant. Replace it by a trained constant, or cut the network before this node."
        ),
    ),
    "three spatial axes": (
        "[n] y = Conv(x, w)",
        (1, 2, 4, 4, 4),
        {"w": (2, 2, 1, 1, 1)},
        (
            "nnie-24 error, node 'n': saw an input of shape [1, 2, 4, 4, 4], wanted [1, C, H, W]. "
            f"{BEFORE}"
        ),
    ),
    "many rows": (
        "[n] y = MatMul(x, w)",
        (1, 5, 8),
        {"w": (8, 2)},
        (
            "nnie-16 error, node 'n': saw a product with [1, 5, 8], wanted one row of numbers, [1, K]. "
            "Write it as a 1x1 Conv, or cut the network before this node."
        ),
    ),
    "transposed data": (
        "[n] y = Gemm<transA=1>(x, w)",
        (1, 1),
        {"w": (1, 2)},
        (
            "nnie-16 error, node 'n': saw transA=1, wanted transA=0. "
            "Transpose the constant operand instead."
        ),
    ),
    "learning": (
        "[n] y, a, b = BatchNormalization<training_mode=1>(x, w, w, w, w)",
        IMAGE,
        {"w": (4,)},
        (
            "nnie-1 error, node 'n': saw a batch normalization that learns, wanted one with constant "
            "statistics. Export the model in evaluation mode."
        ),
    ),
    "average without its pads": (
        "[n] y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)",
        IMAGE,
        {},
        (
            "nnie-8 error, node 'n': saw an average that leaves out its padding, pads [1, 1, 1, 1], "
            "wanted one that counts it, as Caffe's. "
            "Export it with count_include_pad=1, or with pads 0."
        ),
    ),
    "dilated pool": (
        "[n] y = MaxPool<kernel_shape=[2,2], dilations=[2,2]>(x)",
        IMAGE,
        {},
        (
            "nnie-7 error, node 'n': saw dilations [2, 2], wanted dilations 1. "
            "Use a pool without dilation."
        ),
    ),
    "indices": (
        "[n] a, i = MaxPool<kernel_shape=[2,2]>(x) [c] y = Cast<to=1>(i)",
        IMAGE,
        {},
        (
            "nnie-1 error, node 'n': saw the indices of a MaxPool, wanted its values. "
            "Do without the indices."
        ),
    ),
    "computed bound": (
        "m = ReduceMean<axes=[0,1,2,3], keepdims=0>(x) [n] y = Clip(x, m)",
        IMAGE,
        {},
        (
            "nnie-1 error, node 'n': saw a bound that is computed, wanted a constant. "
            "Clip to constants."
        ),
    ),
    "exponent": (
        "[n] y = Pow(x, c)",
        IMAGE,
        {"c": f32(1.5)},
        (
            "nnie-17 error, node 'n': saw exponent 1.5, wanted -3, -2, -1, -0.5, 0.5, 1, 2 or 3. "
            "Use one of these, or cut the network before this node."
        ),
    ),
    "exponent of many": (
        "[n] y = Pow(x, c)",
        IMAGE,
        {"c": f32(1, 2, 3, 2, 1, 2)},
        (
            "nnie-17 error, node 'n': saw an exponent that is no number, wanted a number. "
            "Use one exponent."
        ),
    ),
    "slope over width": (
        "[n] y = PRelu(x, s)",
        IMAGE,
        {"s": (6,)},
        (
            "nnie-15 error, node 'n': saw a slope of shape [6], wanted one number, or one for each of "
            "4 channels. Share the slope over height and width."
        ),
    ),
    "computed slope": (
        "[n] y = PRelu(x, x)",
        IMAGE,
        {},
        (
            "nnie-1 error, node 'n': saw a slope that is computed, wanted a constant. "
            "Use a trained slope."
        ),
    ),
    "constant over width": (
        "[n] y = Add(x, c)",
        IMAGE,
        {"c": (6,)},
        (
            "nnie-15 error, node 'n': saw a constant of shape [6] for a tensor of [1, 4, 6, 6], wanted "
            "one number, or one for each channel. "
            "Share it over the other axes, or cut the network before this node."
        ),
    ),
    "bound by channels": (
        "[n] y = Max(x, c)",
        IMAGE,
        {"c": (4, 1, 1)},
        (
            "nnie-15 error, node 'n': saw a Max by channels, wanted one number. "
            "Use one bound for all channels."
        ),
    ),
    "two constants": (
        "[n] y = Sum(x, c, c)",
        IMAGE,
        {"c": (4, 1, 1)},
        (
            "nnie-15 error, node 'n': saw several constants, wanted one constant. "
            "Fold the constants into one."
        ),
    ),
    "five axes": (
        "a = Reshape(x, s) b = ReduceMean<axes=[4]>(a) [n] y = Add(a, b)",
        IMAGE,
        {"s": i64(1, 2, 2, 6, 6)},
        (
            "nnie-15 error, node 'n': saw operands of shapes [[1, 2, 2, 6, 6], [1, 2, 2, 6, 1]], "
            "wanted operands of one shape. Cut the network before this node."
        ),
    ),
    "permutation": (
        "[n] y = Transpose<perm=[0,3,2,1]>(x)",
        (1, 4, 5, 6),
        {},
        (
            "nnie-12 error, node 'n': saw a Transpose [0, 3, 2, 1] of [1, 4, 5, 6], wanted 0,2,3,1. "
            "Cut the network before this node and transpose on the CPU."
        ),
    ),
    "constant in a concat": (
        "[n] y = Concat<axis=1>(x, c)",
        IMAGE,
        {"c": IMAGE},
        (
            "nnie-15 error, node 'n': saw a constant among the inputs of Concat, wanted tensors that "
            "depend on the input. Join the constant behind the network, on the CPU."
        ),
    ),
    "too long a concat": (
        "c = Conv(x, w) a = Reshape(x, m) b = Reshape(c, m) [n] y = Concat<axis=1>(a, b)",
        (1, 1, 4001, 1),
        {"w": (1, 1, 2, 1), "m": i64(1, -1)},
        (
            "nnie-10 error, node 'n': saw a Concat to 8001 elements along its axis, wanted at most "
            "4096. Leave the parts apart, and join them on the CPU."
        ),
    ),
    "mirrored": (
        '[n] y = Pad<mode="reflect">(x, a)',
        IMAGE,
        {"a": i64(0, 0, 1, 1, 0, 0, 1, 1)},
        "nnie-1 error, node 'n': saw mode 'reflect', wanted padding with 0. Pad with zeros.",
    ),
    "padded with ones": (
        "[n] y = Pad(x, a, c)",
        IMAGE,
        {"a": i64(0, 0, 1, 1, 0, 0, 1, 1), "c": f32(1)},
        "nnie-1 error, node 'n': saw padding with 1, wanted padding with 0. Pad with zeros.",
    ),
    "minus infinity for a convolution": (
        "p = Pad(x, a, c) [n] y = Conv(p, w)",
        IMAGE,
        {"a": i64(0, 0, 1, 1, 0, 0, 1, 1), "c": f32(-np.inf), "w": (1, 4, 3, 3)},
        (
            "nnie-7 error, node 'n': saw padding with -inf before it, wanted padding with 0. "
            "Pad inside the MaxPool instead of before it."
        ),
    ),
    "padded batch": (
        "[n] y = Pad(x, a)",
        IMAGE,
        {"a": i64(1, 0, 0, 0, 0, 0, 0, 0)},
        (
            "nnie-14 error, node 'n': saw padding of [1, 4, 6, 6], wanted of [1, C, H, W]. "
            "Cut the network before this node."
        ),
    ),
    "computed slice": (
        (
            "s = Shape(x) m = ReduceMean<keepdims=0>(x) c = Cast<to=7>(m) d = Unsqueeze(c, z) "
            "[n] y = Slice(x, z, d, o)"
        ),
        IMAGE,
        {"z": i64(0), "o": i64(1)},
        (
            "nnie-14 error, node 'n': saw bounds that are computed, wanted constants. "
            "Slice at constant places."
        ),
    ),
    "rows upside down": (
        "[n] y = Slice(x, b, e, a, s)",
        IMAGE,
        {"b": i64(-1), "e": i64(-99), "a": i64(2), "s": i64(-1)},
        (
            "nnie-14 error, node 'n': saw a step below 1, wanted steps of at least 1. "
            "Cut the network before this node."
        ),
    ),
    "scattered rows": (
        "[n] y = Gather<axis=2>(x, i)",
        IMAGE,
        {"i": i64(0, 1, 3)},
        (
            "nnie-14 error, node 'n': saw elements [0, 1, 3] of an axis, wanted evenly spaced ones. "
            "Cut the network before this node."
        ),
    ),
    "linear": (
        '[n] y = Resize<mode="linear">(x, , s)',
        IMAGE,
        {"s": f32(1, 1, 2, 2)},
        (
            "nnie-18 error, node 'n': saw a Resize of [1, 4, 6, 6] to [1, 4, 12, 12] with mode "
            "'linear', wanted nearest by 2. Use nearest by 2, or a ConvTranspose."
        ),
    ),
    "by one and a half": (
        '[n] y = Resize<mode="nearest">(x, , s)',
        IMAGE,
        {"s": f32(1, 1, 1.5, 1.5)},
        (
            "nnie-18 error, node 'n': saw a nearest Resize of [1, 4, 6, 6] to [1, 4, 9, 9], wanted "
            "nearest by a whole number. "
            "Use nearest by 2 with coordinate_transformation_mode asymmetric."
        ),
    ),
    "repeated": (
        "[n] y = Tile(x, s)",
        IMAGE,
        {"s": i64(1, 2, 1, 1)},
        (
            "nnie-15 error, node 'n': saw [1, 4, 6, 6] repeated to [1, 8, 6, 6], wanted no Tile. "
            "Cut the network before this node."
        ),
    ),
    "wide": (
        "[n] y = Conv(x, w)",
        IMAGE,
        {"w": (5000, 4, 1, 1)},
        (
            "nnie-10 error, node 'n': saw 5000 elements along an axis, wanted at most 4096. "
            "Make the layer narrower, or cut the network before this node."
        ),
    ),
    "large kernel": (
        "[n] y = Conv(x, w)",
        (1, 1, 300, 300),
        {"w": (1, 1, 300, 300)},
        (
            "nnie-9 error, node 'n': saw kernel_size 300, wanted at most 255. "
            "Use a smaller window, or several in a row."
        ),
    ),
    "many groups": (
        "[n] y = Conv<group=2500>(x, w)",
        (1, 2500, 2, 2),
        {"w": (2500, 1, 1, 1)},
        (
            "nnie-11 error, node 'n': saw 2500 groups, wanted at most 2048. "
            "Use fewer channels, or groups of several channels."
        ),
    ),
    "integers": (
        "[n] a = Cast<to=7>(x) [m] y = Cast<to=1>(a)",
        IMAGE,
        {},
        "nnie-1 error, node 'n': saw a Cast to INT64, wanted float32. Cut the network before it.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_its_rule_place_and_mend(name: str) -> None:
    body, shape, held, said = REFUSED[name]

    assert said in [str(f) for f in refusals(graph(body, shape, held))]


def test_a_graph_that_converts_has_no_refusals() -> None:
    assert refusals(prepared(conv_relu_net())) == []


def test_an_input_without_a_size_is_named() -> None:
    """Nothing about the layers behind it can be said then, so nothing is."""
    held = {"w": np.ones((2, 3, 3, 3), np.float32)}
    text = "g (float[N,3,H,W] x) => (float[N,2,A,B] y) { [c] y = Conv(x, w) }"
    findings = refusals(Graph(ir.from_proto(model(text, held)), "net", "net.onnx"))

    assert [str(f) for f in findings] == [
        (
            "nnie-2 error, input 'x': saw tensor 'x' of a shape that is not fixed, wanted fixed "
            "lengths. Give every input a size, or export the model with fixed shapes."
        )
    ]


def test_convert_raises_the_first_and_counts_the_others() -> None:
    """One sentence for the terminal; `refusals` has the whole list."""
    body = "[a] a = Erf(x) [b] b = Cos(a) [c] y = Sin(b)"
    with pytest.raises(UnsupportedError) as caught:
        convert(graph(body, IMAGE, {}))

    assert str(caught.value) == (
        "net.onnx, node 'a': everything must have a form in NNIE's Caffe, saw operator Erf, "
        "wanted an operator that Caffe has, and 2 more like it. Use Relu instead and train again."
    )


def test_every_node_is_looked_at_and_findings_are_about_layers() -> None:
    body = "[a] a = Erf(x) [b] b = Relu(a) [c] y = Sin(b)"
    findings = refusals(graph(body, IMAGE, {}))

    assert [f.layer for f in findings] == ["a", "c"]
    assert {f.severity for f in findings} == {"error"}

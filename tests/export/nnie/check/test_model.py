"""Findings on a model before anything is written."""

from typing import Any

import numpy as np
import onnx
import pytest

from quant.export.nnie.check.model import check_model
from quant.export.nnie.check.prototxt import read_prototxt
from quant.export.nnie.check.speed import Convolution, convolving_layers, convolving_nodes
from quant.export.nnie.graph.mapper_net import net_of
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment
from quant.target.finding import errors
from tests.chosen import prepared
from tests.export.nnie.exports import pictures
from tests.models import conv_relu_net, depthwise_net, model, weights

SIZED = Preprocess(size=(16, 16))


def deployed(preprocess: Preprocess = SIZED, **options: Any) -> Deployment:
    return Deployment(preprocess=preprocess, samples=pictures(preprocess), **options)


def erf_net(tail: str = "output") -> onnx.ModelProto:
    """Return a Conv, an Erf, which Caffe lacks, and with `tail` "mid" a Conv behind it."""
    behind = "[conv2] output = Conv(mid, w2)" if tail == "mid" else "[relu] output = Relu(mid)"
    return model(
        f"""g (float[N,3,16,16] input) => (float[N,4,14,14] output) {{
            [conv1] a = Conv(input, w1)
            [odd] mid = Erf(a)
            {behind}
        }}""",
        weights(0, w1=(4, 3, 3, 3), w2=(4, 4, 1, 1)),
    )


def test_a_good_model_is_only_told_what_is_slow() -> None:
    findings = check_model(prepared(conv_relu_net()), deployed())

    assert errors(findings) == []
    assert [(f.rule, f.place) for f in findings] == [("nnie-30", "the model")] * 2


def test_a_layer_that_caffe_lacks_is_an_error_at_its_node() -> None:
    (one,) = errors(check_model(prepared(erf_net()), deployed()))

    assert (one.rule, one.layer, one.place) == ("nnie-1", "odd", "node 'odd'")


def test_what_stays_beside_a_custom_layer_must_convert_too() -> None:
    """It was found only after the long work, when the files were written."""
    proto = model(
        """g (float[N,3,16,16] input) => (float[N,4200,1] output) {
            [conv1] a = Conv(input, w1)
            [odd] b = Erf(a)
            [pool] c = GlobalAveragePool(b)
            [wide] d = Conv(c, w2)
            [flat] output = Reshape(d, shape)
        }""",
        {
            **weights(0, w1=(4, 3, 3, 3), w2=(4200, 4, 1, 1)),
            "shape": np.array([0, 4200, 1], np.int64),
        },
    )
    found = errors(check_model(prepared(proto), deployed(allow_fallback=True)))

    assert [f.rule for f in found] == ["nnie-10"]
    assert "4200" in found[0].mend


def test_with_fallback_it_is_a_warning_that_says_who_computes_it() -> None:
    for tail, mend in (
        ("output", "It is cut off: the CPU computes it from tail.onnx."),
        ("mid", "It becomes a Custom layer: the CPU computes it between two runs of NNIE."),
    ):
        findings = check_model(prepared(erf_net(tail)), deployed(allow_fallback=True))

        assert errors(findings) == []
        assert [(f.layer, f.mend) for f in findings if f.rule == "nnie-1"] == [("odd", mend)]


def test_depthwise_is_told_by_its_node() -> None:
    findings = [
        f for f in check_model(prepared(depthwise_net()), deployed()) if f.rule == "nnie-11"
    ]

    assert [(f.severity, f.layer, f.saw) for f in findings] == [
        ("warning", "depthwise", "a depthwise convolution of 12 channels in 8 bit")
    ]


def test_without_samples_it_says_that_the_mapper_needs_them() -> None:
    findings = check_model(prepared(conv_relu_net()), Deployment())

    assert [(f.severity, f.saw) for f in findings if f.rule == "nnie-28"] == [
        ("warning", "no calibration samples")
    ]


def sized(dims: str) -> onnx.ModelProto:
    wide = dims.split(",")[0]
    return model(
        f"g (float[N,{dims}] input) => (float[N,4,H,W] output) {{ output = Conv(input, w) }}",
        weights(0, w=(4, int(wide), 3, 3)),
    )


@pytest.mark.parametrize(
    ("dims", "preprocess", "saw"),
    [
        ("5,16,16", Preprocess(), "5 channels"),
        ("3,7,16", Preprocess(size=(16, 7)), "7 rows and 16 columns"),
        ("3,16,5000", Preprocess(size=(5000, 16)), "16 rows and 5000 columns"),
    ],
)
def test_an_input_that_takes_no_pictures_is_a_warning(
    dims: str, preprocess: Preprocess, saw: str
) -> None:
    """It can go in as tensors, but the board's camera gives pictures."""
    findings = check_model(prepared(sized(dims)), Deployment(preprocess=preprocess))

    assert [(f.severity, f.place, f.saw) for f in findings if f.rule == "nnie-3"] == [
        ("warning", "input 'input'", saw)
    ]


def test_sizes_are_not_judged_where_nobody_knows_them() -> None:
    findings = check_model(prepared(sized("3,H,W")), Deployment(preprocess=Preprocess()))

    assert "nnie-3" not in {f.rule for f in findings}


def test_channels_last_need_a_transpose_right_behind_the_input() -> None:
    last = Preprocess(size=(16, 16), layout="NHWC")
    text = """g (float[N,16,16,3] input) => (float[N,16,16,4] output) {
        output = MatMul(input, w)
    }"""
    graph = prepared(model(text, weights(0, w=(3, 4))))
    findings = [f for f in check_model(graph, deployed(last)) if f.rule == "nnie-3"]
    assert [(f.severity, f.saw) for f in findings] == [("error", "layout NHWC")]

    text = """g (float[N,16,16,3] input) => (float[N,4,14,14] output) {
        a = Transpose<perm=[0,3,1,2]>(input)
        output = Conv(a, w)
    }"""
    graph = prepared(model(text, weights(0, w=(4, 3, 3, 3))))
    assert errors(check_model(graph, deployed(last))) == []


def test_speed_is_judged_alike_before_and_after() -> None:
    """Of the graph's nodes and of the Caffe layers; numbers by hand."""
    text = """
        layer { name: "x" type: "Input" top: "x" input_param { shape {
            dim: 1 dim: 8 dim: 6 dim: 7 } } }
        layer { name: "c" type: "Convolution" bottom: "x" top: "c"
            convolution_param { num_output: 6 kernel_size: 3 group: 2 } }
        layer { name: "d_hp" type: "DepthwiseConv" bottom: "c" top: "d"
            convolution_param { num_output: 6 kernel_size: 1 } }"""
    onnx_text = """g (float[N,8,6,7] x) => (float[N,6,4,5] d) {
        [c] y = Conv<group=2>(x, w1)
        [d] d = Conv<group=6>(y, w2)
    }"""
    graph = prepared(model(onnx_text, weights(0, w1=(6, 4, 3, 3), w2=(6, 1, 1, 1))))
    first = Convolution(name="c", inputs=8, outputs=6, group=2, width=5, high=False)
    second: Any = {"inputs": 6, "outputs": 6, "group": 6, "width": 5, "high": True}

    assert convolving_layers(net_of(read_prototxt(text).net)) == [
        first,
        Convolution(name="d_hp", **second),
    ]
    assert convolving_nodes(graph, frozenset({"d"})) == [
        first,
        Convolution(name="d", **second),
    ]
    assert np.array_equal([first.depthwise, Convolution(name="d", **second).depthwise], [0, 1])

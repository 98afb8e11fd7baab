"""Findings on a float graph, before the export."""

import onnx

from quant.export.tensorrt.check.model import check_model
from quant.target.deployment import Deployment
from tests.chosen import prepared
from tests.models import model, weights


def test_the_look_before_export_warns_of_what_would_be_quantized() -> None:
    proto = model(
        """<opset_import: ["" : 18]> g (float[N,3,8,8] x) => (float[N,5] y) {
            [thin] a = Conv(x, w1)
            [up] b = ConvTranspose(a, w2)
            [flat] c = Flatten(b)
            [fc] d = Gemm<transB=1>(c, w3)
            [wide] e = Cast<to=11>(d)
            [back] y = Cast<to=1>(e)
        }""",
        weights(0, w1=(6, 3, 1, 1), w2=(6, 4, 1, 1), w3=(5, 256)),
    )
    proto.graph.node[1].name = "up:1"
    findings = check_model(prepared(proto), Deployment(versions={"tensorrt": "8"}))

    assert [(f.rule, f.severity, f.place, f.saw) for f in findings] == [
        (
            "tensorrt-7",
            "warning",
            "node 'up:1'",
            "a ConvTranspose that would get a scale per channel",
        ),
        ("tensorrt-10", "warning", "tensor 'e'", "float64"),
        ("tensorrt-11", "error", "opset_import", "opset 18"),
        (
            "tensorrt-22",
            "warning",
            "node 'thin'",
            "6 output and 3 input channels a group, kernel 1x1",
        ),
        ("tensorrt-23", "warning", "node 'fc'", "K = 256 and N = 5"),
        ("tensorrt-27", "info", "node 'up:1'", "a name with , : ' or a line end"),
    ]


def test_the_look_before_export_finds_operators_that_are_not_imported() -> None:
    proto = model(
        """<opset_import: ["" : 17, "com.x" : 1]> g (float[N,3,8,8] x) => (float[N,16,8,8] y) {
            [odd] a = com.x.Thing(x)
            [conv] y = Conv(x, w1)
        }""",
        weights(0, w1=(16, 3, 1, 1)),
    )
    proto.graph.output.append(onnx.helper.make_tensor_value_info("a", 1, None))
    findings = check_model(prepared(proto), Deployment())

    assert [(f.rule, f.severity, f.place) for f in findings] == [
        ("tensorrt-10", "error", "node 'odd'")
    ]

"""Findings on a network before it is exported to Atlas."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quant.export.atlas.check.model import check_model
from quant.export.atlas.check.rules import RULES
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes
from quant.target.deployment import Deployment
from quant.target.finding import Finding
from tests.chosen import prepared
from tests.models import conv_relu_net, model, weights


def graph_of(
    body: str, held: dict[str, NDArray[Any]], *, shape: str = "1,32,8,8", opset: int = 17
) -> Graph:
    """Return a graph as it is, for networks that preparation would not let through."""
    text = f'<opset_import: ["" : {opset}]> g (float[{shape}] x) => (float[a,b,c,d] y) {{ {body} }}'
    ir_model = ir.from_proto(model(text, held))
    infer_shapes(ir_model)
    return Graph(ir_model, "net", "net.onnx")


def said(graph: Graph, **deployment: Any) -> list[Finding]:
    findings = check_model(graph, Deployment(**deployment))
    assert all(f.rule in RULES for f in findings)
    return findings


def test_a_usual_network_has_no_error() -> None:
    """Three channels in and a dynamic batch are worth a word, no more."""
    findings = said(prepared(conv_relu_net()))

    assert [(f.rule, f.severity, f.place, f.layer) for f in findings] == [
        ("atlas-20", "warning", "node 'conv1'", "conv1"),
        ("atlas-20", "warning", "node 'conv2'", "conv2"),
        ("atlas-24", "info", "tensor 'input'", None),
    ]


@pytest.mark.parametrize(
    ("body", "held", "rule", "severity", "place", "saw"),
    [
        (
            "[up] y = ConvTranspose<dilations=[2,2]>(x, w)",
            weights(0, w=(32, 2, 2, 2)),
            19,
            "error",
            "node 'up'",
            "a transposed convolution with dilations [2, 2]",
        ),
        (
            "[mm] y = MatMul(x, w)",
            weights(0, w=(1, 32, 8, 8)),
            14,
            "error",
            "node 'mm'",
            "a right operand of 4 axes",
        ),
        (
            "[c] y = Conv(x, w, b) b = ReduceSum<keepdims=0>(x, axes)",
            {**weights(0, w=(2, 32, 1, 1)), "axes": np.array([0, 2, 3])},
            15,
            "error",
            "node 'c'",
            "a bias that is no constant",
        ),
        (
            "[pool] y = AveragePool<kernel_shape=[8,8]>(x)",
            {},
            19,
            "info",
            "node 'pool'",
            "an AveragePool over the whole map (8x8)",
        ),
        (
            "[q] i = QuantizeLinear(x, s) y = DequantizeLinear(i, s)",
            {"s": np.float32(1)},
            3,
            "error",
            "node 'q'",
            "QuantizeLinear",
        ),
        (
            "[top] v, i = TopK(x, k) [more] y = Add(i, i)",
            {"k": np.array([1])},
            29,
            "warning",
            "node 'more'",
            "int64 indices of TopK in arithmetic",
        ),
    ],
)
def test_what_atlas_does_not_take_is_found(
    body: str, held: dict[str, NDArray[Any]], rule: int, severity: str, place: str, saw: str
) -> None:
    findings = said(graph_of(body, held))

    assert (f"atlas-{rule}", severity, place, saw) in [
        (f.rule, f.severity, f.place, f.saw) for f in findings
    ]


def test_fallback_turns_an_error_into_a_warning() -> None:
    graph = graph_of("[up] y = ConvTranspose<dilations=[2,2]>(x, w)", weights(0, w=(32, 2, 2, 2)))

    (kept,) = said(graph, allow_fallback=True)

    assert str(kept) == (
        "atlas-19 warning, node 'up': saw a transposed convolution with dilations [2, 2], wanted 1. "
        "It stays float."
    )


def test_a_domain_and_an_opset_are_found() -> None:
    graph = graph_of("[a] y = Relu(x)", {})
    next(iter(graph.model.graph)).domain = "com.microsoft"
    high = graph_of("[a] y = Gelu(x)", {}, opset=20)
    norm = graph_of("[n] y = LayerNormalization(x, s)", {"s": np.ones(8, np.float32)})

    (domain,), (opset,), (word,) = said(graph), said(high), said(norm)
    assert str(domain) == (
        "atlas-2 error, node 'a': saw operator 'Relu' of domain 'com.microsoft', wanted ONNX's own "
        "domain. Export with standard operators."
    )
    assert str(opset) == (
        "atlas-1 error, the model: saw opset 20 and Gelu of node 'a', wanted 11 to 18. Export the "
        "model again with opset 17."
    )
    assert str(word) == (
        "atlas-1 info, the model: saw LayerNormalization of node 'n', which needs opset 17, wanted "
        "11 for CANN 5 and 6. Use CANN 7 or newer, or replace the operator."
    )
    assert said(norm, versions={"atlas": "Ascend310P3"}) == []


def test_inputs_are_float32_of_fixed_sizes_with_names_that_atc_can_read() -> None:
    graph = graph_of("[a] y = Relu(x)", {}, shape="1,3,H,8")
    value = graph.inputs[0]

    (size,) = said(graph)
    value.name, value.dtype = "x;y", ir.DataType.FLOAT16
    findings = said(graph)

    assert str(size) == (
        "atlas-24 error, tensor 'x': saw sizes [1, 3, 'H', 8], wanted fixed sizes behind the batch. "
        "Give --size, or export the model with fixed sizes behind the batch."
    )
    assert [(f.rule, f.severity, f.saw) for f in findings] == [
        ("atlas-24", "error", "a graph input of type FLOAT16"),
        ("atlas-24", "error", "sizes [1, 3, 'H', 8]"),
        ("atlas-26", "error", "a name with a semicolon or a line break"),
    ]


def test_weights_beyond_one_file_are_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    from quant.export.atlas.check import model as module

    monkeypatch.setattr(module, "PROTO_LIMIT", 100)
    graph = graph_of("[c] y = Conv(x, w)", weights(0, w=(2, 32, 1, 1)))

    assert [(f.rule, f.severity, f.saw) for f in said(graph)] == [
        ("atlas-30", "info", "256 bytes of weights")
    ]

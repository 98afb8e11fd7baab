"""A graph computes the same numbers in its lowest opset."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.export.atlas.graph.lower_opset import in_lowest_opset, lowest_opset
from quant.graph.prepared_graph import Graph
from quant.graph.shapes import infer_shapes
from tests.models import concat_net, depthwise_net, gemm_net, model, residual_net, weights

Arrays = dict[str, NDArray[Any]]


def ints(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def graph_of(body: str, held: Arrays, opset: int = 17) -> ir.Model:
    """Return a model of one input [2, 3, 4, 6], shapes inferred as preparation does."""
    text = f'<opset_import: ["" : {opset}]> g (float[2,3,4,6] x) => (float{{}} y) {{ {body} }}'
    rank = held.pop("rank", np.array(4))
    sizes = ",".join(f"d{i}" for i in range(int(rank)))
    ir_model = ir.from_proto(model(text.replace("{}", f"[{sizes}]", 1), held))
    infer_shapes(ir_model)
    return ir_model


def run(proto: onnx.ModelProto, feeds: Arrays) -> NDArray[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    outputs: NDArray[Any] = ort.InferenceSession(proto.SerializeToString(), options).run(
        None, feeds
    )[0]
    return outputs


CASES: dict[str, tuple[int, str, Arrays, int]] = {
    "Relu and Add": (17, "a = Relu(x) y = Add(a, x)", {}, 11),
    "Clip": (17, "y = Clip(x, low, high)", {"low": np.float32(-1), "high": np.float32(0.5)}, 11),
    "Squeeze": (
        17,
        "a = Unsqueeze(x, one) b = Relu(a) y = Squeeze(b, one)",
        {"one": ints(1)},
        11,
    ),
    "Squeeze of all": (
        17,
        "a = ReduceSum<keepdims=1>(x, axes) y = Squeeze(a)",
        {"axes": ints(1, 2, 3), "rank": np.array(1)},
        11,
    ),
    "ReduceSum": (
        17,
        "y = ReduceSum<keepdims=1>(x, axes)",
        {"axes": ints(-1, 2)},
        11,
    ),
    "ReduceMean 18": (
        18,
        "y = ReduceMean<keepdims=0>(x, axes)",
        {"axes": ints(1), "rank": np.array(3)},
        11,
    ),
    "ReduceMax 18 of all": (18, "y = ReduceMax<keepdims=1>(x)", {}, 11),
    "ReduceMean 17": (17, "y = ReduceMean<axes=[2,3]>(x)", {}, 11),
    "Split by sizes": (
        17,
        "a, b = Split<axis=3>(x, sizes) y = Concat<axis=3>(b, a)",
        {"sizes": ints(2, 4)},
        11,
    ),
    "Split evenly": (17, "a, b = Split<axis=3>(x) y = Sub(a, b)", {}, 11),
    "Split 18 unevenly": (
        18,
        "a, b, c, d = Split<axis=3, num_outputs=4>(x) y = Concat<axis=3>(d, a)",
        {},
        11,
    ),
    "Softmax of the last": (17, "y = Softmax(x)", {}, 11),
    "Softmax of channels": (17, "y = Softmax<axis=1>(x)", {}, 11),
    "LogSoftmax of -3": (17, "y = LogSoftmax<axis=-3>(x)", {}, 11),
    "Hardmax": (17, "y = Hardmax<axis=2>(x)", {}, 11),
    "HardSwish": (17, "y = HardSwish(x)", {}, 11),
    "Resize by scales": (
        17,
        'y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , scales)',
        {"scales": np.float32([1, 1, 2, 1.5])},
        11,
    ),
    "Resize to sizes": (
        17,
        """y = Resize<mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric">(x, , , sizes)""",
        {"sizes": ints(2, 3, 7, 5)},
        11,
    ),
    "Resize cubic": (
        18,
        'y = Resize<mode="cubic", antialias=0>(x, , scales)',
        {"scales": np.float32([1, 1, 2, 2])},
        11,
    ),
    "Resize antialiased": (
        18,
        'y = Resize<mode="linear", antialias=1>(x, , scales)',
        {"scales": np.float32([1, 1, 0.5, 0.5])},
        18,
    ),
    "Pad": (
        17,
        "y = Pad(x, pads, value)",
        {"pads": ints(0, 0, 1, 1, 0, 0, 0, 2), "value": np.float32(3)},
        11,
    ),
    "Pad with axes": (
        18,
        "y = Pad(x, pads, , axes)",
        {"pads": ints(1, 0), "axes": ints(2)},
        18,
    ),
    "Reshape": (17, "y = Reshape<allowzero=0>(x, to)", {"to": ints(0, 3, 6, 4)}, 11),
    "Reshape with zeros": (
        17,
        "y = Reshape<allowzero=1>(x, to)",
        {"to": ints(2, 3, 6, 4)},
        14,
    ),
    "Shape": (
        17,
        "a = Shape(x) y = Reshape(x, a)",
        {},
        11,
    ),
    "part of a Shape": (
        17,
        "a = Shape<start=1>(x) b = Concat<axis=0>(two, a) y = Reshape(x, b)",
        {"two": ints(2)},
        15,
    ),
    "Pow of equal types": (17, "y = Pow(x, e)", {"e": np.float32(2)}, 11),
    "Pow of an int": (17, "y = Pow(x, e)", {"e": ints(2)}, 12),
    "Pow of a double": (17, "y = Pow(x, e)", {"e": np.float64(2)}, 12),
    "Where": (17, "a = Less(x, z) y = Where(a, z, x)", {"z": np.float32(0)}, 11),
    "GreaterOrEqual": (17, "a = GreaterOrEqual(x, z) y = Where(a, x, z)", {"z": np.float32(0)}, 12),
    "Einsum": (17, 'y = Einsum<equation="nchw->nhwc">(x)', {}, 12),
    "LayerNormalization": (17, "y = LayerNormalization(x, s)", {"s": np.ones(6, np.float32)}, 17),
    "GridSample": (
        17,
        "y = GridSample(x, grid)",
        {"grid": np.zeros((2, 3, 3, 2), np.float32)},
        16,
    ),
    "LeakyRelu": (17, "y = LeakyRelu<alpha=0.1>(x)", {}, 11),
    "PRelu": (17, "y = PRelu(x, s)", {"s": np.full((3, 1, 1), 0.25, np.float32)}, 11),
    "BatchNormalization": (
        17,
        "y = BatchNormalization(x, s, s, s, s)",
        {"s": np.float32([1, 2, 3])},
        11,
    ),
    "pools": (
        17,
        """a = MaxPool<kernel_shape=[2,2]>(x) b = AveragePool<kernel_shape=[2,2]>(a)
        c = GlobalAveragePool(b) y = Mul(c, c)""",
        {},
        11,
    ),
    "opset 20": (20, "a = Transpose<perm=[0,2,3,1]>(x) y = Sigmoid(a)", {}, 11),
}


@pytest.mark.parametrize("name", CASES)
def test_the_least_opset_computes_the_same(name: str) -> None:
    """ONNX Runtime computes both; an opset too low would not load, one too high old ATC refuses."""
    opset, body, held, wanted = CASES[name]
    original = graph_of(body, dict(held), opset)
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 6)).astype(np.float32)

    lowered = ir.to_proto(in_lowest_opset(original, "net.onnx"))

    assert [(o.domain, o.version) for o in lowered.opset_import] == [("", wanted)]
    onnx.checker.check_model(lowered, full_check=True)
    np.testing.assert_allclose(
        run(lowered, {"x": x}), run(ir.to_proto(original), {"x": x}), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("net", [concat_net, depthwise_net, gemm_net, residual_net])
def test_whole_networks_go_down_to_11_with_equal_bits(net: Any) -> None:
    """No operator of a usual classifier needs more; an IR of 6 goes with opset 11."""
    original = ir.from_proto(net())
    x = np.random.default_rng(2).normal(size=(2, 3, 16, 16)).astype(np.float32)

    lowered = ir.to_proto(in_lowest_opset(original, "net.onnx"))

    assert lowered.opset_import[0].version == 11
    assert lowered.ir_version == 6
    np.testing.assert_array_equal(run(lowered, {"input": x}), run(net(), {"input": x}))


def test_the_original_is_left_as_it_was() -> None:
    original = graph_of("y = HardSwish(x)", {})
    before = Graph(original, "net").fingerprint

    in_lowest_opset(original, "net.onnx")

    assert Graph(original.clone(), "net").fingerprint == before


def test_what_keeps_the_opset_up_is_named() -> None:
    assert lowest_opset(graph_of("y = Relu(x)", {}), "net.onnx") == (11, "")
    model_ = graph_of("[norm] y = LayerNormalization(x, s)", {"s": np.ones(6, np.float32)})
    assert lowest_opset(model_, "net.onnx") == (17, "LayerNormalization of node 'norm'")


def test_an_operator_that_no_opset_up_to_18_has_is_refused() -> None:
    with pytest.raises(UnsupportedError) as caught:
        in_lowest_opset(graph_of("[gelu] y = Gelu(x)", {}, 20), "net.onnx")

    assert str(caught.value) == (
        "net.onnx: ATC takes ONNX opset 11 to 18, saw opset 20 and Gelu of node 'gelu', which no "
        "lower opset has. Export the model again with opset 17."
    )


def test_an_operator_that_changed_its_meaning_is_not_lowered_past_that() -> None:
    """GridSample's modes got other names at 20: `linear` was `bilinear`, and 16 has no `linear`."""
    held = {"grid": np.zeros((2, 3, 3, 2), np.float32)}

    with pytest.raises(UnsupportedError, match="saw opset 20 and GridSample of node 'g', which no"):
        in_lowest_opset(
            graph_of('[g] y = GridSample<mode="linear">(x, grid)', held, 20), "net.onnx"
        )


def test_an_operator_of_another_domain_is_refused() -> None:
    ir_model = graph_of("[act] y = Relu(x)", {})
    next(iter(ir_model.graph)).domain = "com.microsoft"

    with pytest.raises(UnsupportedError) as caught:
        lowest_opset(ir_model, "net.onnx")

    assert str(caught.value) == (
        "net.onnx, node 'act': ATC takes operators of ONNX's own domain, saw "
        "'com.microsoft.Relu'. Export the model with standard operators."
    )


def test_names_that_are_taken_get_another() -> None:
    """A node of the network may already be called what the conversion would call its own."""
    original = graph_of(
        '[a] "b.gate.output0" = Relu(x) ["b.gate"] z = Relu("b.gate.output0") [b] y = HardSwish(z)',
        {},
    )

    lowered = in_lowest_opset(original, "net.onnx")

    names = [str(n.name) for n in lowered.graph]
    values = [str(v.name) for n in lowered.graph for v in n.outputs]
    assert len(set(names)) == len(names) == 4
    assert len(set(values)) == len(values)
    assert "b" in names


def test_a_branch_keeps_its_opset() -> None:
    """The nodes inside an If are not rewritten, so nothing around them is lowered past them."""
    held = {"c": np.array(True), **weights(0, w=(1,))}
    text = """<opset_import: ["" : 16]> g (float[2,3,4,6] x) => (float[2,3,4,6] y) {
        [branch] y = If (c) <
            then_branch = t () => (float[2,3,4,6] a) { a = Relu(x) },
            else_branch = e () => (float[2,3,4,6] b) { b = Add(x, w) }>
    }"""

    assert lowest_opset(ir.from_proto(model(text, held)), "net.onnx") == (16, "If of node 'branch'")
